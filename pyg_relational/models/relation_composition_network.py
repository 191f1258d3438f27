from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.utils import scatter

from pyg_relational.nn import PairwiseMLP
from pyg_relational.nn.checks import check_edges, check_features, check_pairs
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.recurrent import RelationCompositionCell
from pyg_relational.nn.sets import set_ptr
from pyg_relational.ops import ptr_to_batch

# All ordered pairs of the objects of each set, and the triples they make.


def pair_ptr(ptr: Tensor) -> Tensor:
    r"""Returns where the pairs of each set start and end: of :math:`n` objects there
    are :math:`n^2` ordered pairs, each object with itself included."""
    return torch.cat([ptr.new_zeros(1), ptr.diff().square().cumsum(0)])


def pair_rows(pairs: Tensor, ptr: Tensor) -> Tensor:
    r"""Returns the number of each pair among all ordered pairs, those of a set in the
    order of their first, then their second object."""
    owner = ptr_to_batch(ptr, int(ptr[-1])).index_select(0, pairs[0])
    first, second = pairs - ptr[owner]
    return pair_ptr(ptr)[owner] + first * ptr.diff()[owner] + second


def pair_triples(ptr: Tensor) -> Tensor:
    r"""Returns, for all triples of different objects :math:`(i, k, j)` of a set, the
    numbers of their pairs :math:`(i, k)`, :math:`(k, j)` and :math:`(i, j)`."""
    size = ptr.diff()
    owner = torch.arange(size.numel(), device=ptr.device)
    owner = owner.repeat_interleave(size**3)
    start = torch.cat([ptr.new_zeros(1), (size**3).cumsum(0)])
    place = torch.arange(owner.numel(), device=ptr.device) - start[owner]
    n, base = size[owner], pair_ptr(ptr)[owner]
    i, k, j = place // (n * n), place // n % n, place % n
    rows = torch.stack([base + i * n + k, base + k * n + j, base + i * n + j])
    return rows[:, (i != k) & (k != j) & (i != j)]


class RelationCompositionNetwork(Composite):
    r"""A recurrent relation network whose objects are pairs: relations of given edges
    are composed, step by step, into those of pairs that are far apart.

    .. math::
        \mathbf{p}^{(0)}_{ij} = \mathbf{e}_{i,j}, \quad
        \mathbf{p}^{(t)}_{ij} = \sum_{k} \alpha^{(t)}_{ikj} \, \mathrm{softmax} \big(
        g(\mathbf{p}^{(t-1)}_{ik}, \mathbf{p}^{(t-1)}_{kj}) \big), \quad
        \mathbf{y}_{ij} = \log \mathbf{p}^{(K)}_{ij}

    As in `"Recurrent Relational Networks" <https://arxiv.org/abs/1711.08028>`_ (Palm
    et al., 2018), objects exchange messages for :math:`K` steps with shared weights.
    Here a pair hears from pairs of pairs, see
    :class:`~pyg_relational.nn.RelationCompositionCell`, and its state is a
    distribution over relations, the answer itself: answers have the same names as the
    relations of edges. :math:`K` steps reach pairs that are up to :math:`K + 1` edges
    apart, in whatever order the relations on the way have to be composed; steps end
    where nothing changes any more. All :math:`O(n^3)` triples of the :math:`n`
    objects of a graph are listed.

    Args:
        num_relations (int): The number of relations :math:`R`.
        relation_channels (list of int): The hidden widths of :math:`g`.
            (default: :obj:`(64, 64)`)
        entropy_weight (float): How much the entropy of a composition counts against
            it. (default: :obj:`1.0`)
        steps (int): The number of steps :math:`K`. (default: :obj:`8`)
        act (str): The activation of :math:`g`. (default: :obj:`"relu"`)

    Shapes:
        - **input:** objects :math:`(N, *)`, of which only the number is read; edges
          :math:`(2, E)`, the distribution over relations of each :math:`(E, R)`
          (one-hot where it is known), pairs to answer for :math:`(2, P)`
        - **output:** logarithms of probabilities :math:`(P, R)`, all equal where no
          way of :math:`K + 1` edges leads from the first to the second object

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted, rows of edges are
            no distributions or the number of steps is not positive.
    """

    def __init__(
        self,
        num_relations: int,
        relation_channels: Sequence[int] = (64, 64),
        entropy_weight: float = 1.0,
        steps: int = 8,
        act: str = "relu",
    ) -> None:
        super().__init__()
        _check_steps(steps)
        self.num_relations, self.steps = num_relations, steps
        channels = [*relation_channels, num_relations + 1]
        relation = PairwiseMLP(num_relations, channels, act=act, plain_last=True)
        self.cell = RelationCompositionCell(num_relations, relation, entropy_weight)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        edge_label_index: Tensor,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        steps: int | None = None,
    ) -> Tensor:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor): Objects.
            edge_index (torch.Tensor): The edges, shape :math:`[2, E]`.
            edge_attr (torch.Tensor): Their relations, shape :math:`[E, R]`.
            edge_label_index (torch.Tensor): The pairs to answer for.
            batch (torch.Tensor, optional): The graph of each object, ascending.
                (default: :obj:`None`)
            batch_size (int, optional): The number of graphs. (default: :obj:`None`)
            steps (int, optional): The number of steps, where it differs from that of
                the constructor. (default: :obj:`None`)
        """
        if x.dim() != 2:
            raise ValueError(f"'x' must have shape [N, F] (got shape {list(x.shape)})")
        check_edges(edge_index, edge_attr, x, x.size(0))
        check_pairs(edge_label_index, "edge_label_index", x, x.size(0))
        like = next(self.cell.parameters(), edge_attr)
        check_features(edge_attr, self.num_relations, "edge_attr", like)
        _check_distributions(edge_attr)
        ptr = set_ptr(batch, x.size(0), batch_size, x.device)
        rows = int(ptr.diff().square().sum())
        # Two edges between the same objects: both relations, to equal parts.
        given = scatter(edge_attr, pair_rows(edge_index, ptr), 0, rows, "mean")
        p = self._compose(given, ptr, self.steps if steps is None else steps)
        p = p.index_select(0, pair_rows(edge_label_index, ptr))
        return (p + torch.finfo(p.dtype).eps).log()

    def _compose(self, given: Tensor, ptr: Tensor, steps: int) -> Tensor:
        _check_steps(steps)
        triples, state = pair_triples(ptr), self.cell.initial_state(given)
        for _ in range(steps):
            after = self.cell(given, state, triples=triples)
            if all(map(torch.equal, after, state)):
                # So it would go on: all ways are composed.
                break
            state = after
        return state[0]

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.cell}, steps={self.steps})"


def _check_steps(steps: int) -> None:
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"'steps' must be a whole number of at least 1 (got {steps})")


def _check_distributions(edge_attr: Tensor) -> None:
    if torch.compiler.is_compiling():
        return
    rows = edge_attr.detach()
    wrong = (rows < 0).any(dim=1) | ((rows.sum(dim=1) - 1).abs() > 1e-3)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"'edge_attr' must give each edge a distribution over relations, numbers "
            f"from 0 on that sum to 1 (got {rows[row].tolist()} in row {row}); pass "
            f"one-hot rows"
        )
