from torch import Tensor
from torch.nn import Module
from torch.nn.functional import logsigmoid
from torch_geometric.utils import scatter, softmax

from pyg_relational.nn.checks import check_pairs
from pyg_relational.nn.pairwise import PairwiseMLP
from pyg_relational.nn.recurrent.state import check_rows, check_tensor


class RelationCompositionCell(Module):
    r"""One recurrent update of all pairs: what two pairs with an object in common say
    about the pair of their other ends.

    .. math::
        (\mathbf{z}_{ikj}, s_{ikj}) &= g(\mathbf{p}_{ik}, \mathbf{p}_{kj}) \\
        \mathbf{m}_{ikj} &= \mathrm{softmax}(\mathbf{z}_{ikj}) \\
        c_{ikj} &= \log \sigma(s_{ikj}) - \lambda H(\mathbf{m}_{ikj}) + c_{ik} +
        c_{kj} \\
        \alpha_{ikj} &= \mathrm{softmax}_k \, c_{ikj} \\
        \mathbf{p}^{\prime}_{ij} &= \sum_k \alpha_{ikj} \, \mathbf{m}_{ikj}, \quad
        c^{\prime}_{ij} = \sum_k \alpha_{ikj} \, c_{ikj}

    The state of a pair is a distribution :math:`\mathbf{p}` over relations, all that
    is handed on of how it was found, and the logarithm :math:`c` of how far that is
    trusted: less where a composition is refused by its score :math:`s` or undecided,
    of large entropy :math:`H`. So the same composition is learnt for short and for
    long ways. A pair of zeros is not known yet: it says nothing, and nothing is said
    about it before both pairs of some :math:`k` are known. Given pairs stay as they
    are, with :math:`c = 0`.

    Args:
        num_relations (int): The number of relations :math:`R`.
        nn (PairwiseMLP): The relation :math:`g` of two distributions; its last output
            is :math:`s`.
        entropy_weight (float): The weight :math:`\lambda`. (default: :obj:`1.0`)

    Shapes:
        - **input:** given pairs :math:`(P, R)`, zero where none is given; state
          :math:`((P, R), (P, 1))`; numbers of the pairs :math:`(i, k)`,
          :math:`(k, j)`, :math:`(i, j)` of triples :math:`(3, T)`
        - **output:** state :math:`((P, R), (P, 1))`

    Raises:
        ValueError: If widths do not fit, or inputs or states are not finite.
        TypeError: If a part of the state is no tensor.
    """

    def __init__(
        self, num_relations: int, nn: PairwiseMLP, entropy_weight: float = 1.0
    ) -> None:
        super().__init__()
        widths = (nn.in_channels, nn.out_channels)
        expected = ((num_relations, num_relations), num_relations + 1)
        if widths != expected:
            raise ValueError(
                f"'nn' must turn two distributions over {num_relations} relations into "
                f"one and a score, 'in_channels={expected[0]}' with {expected[1]} "
                f"outputs (got {widths[0]} with {widths[1]})"
            )
        if entropy_weight < 0:
            raise ValueError(
                f"'entropy_weight' must be at least 0 (got {entropy_weight})"
            )
        self.num_relations, self.nn = num_relations, nn
        self.entropy_weight = entropy_weight
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.nn.reset_parameters()

    def initial_state(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Returns the state before the first step: what is given, trusted."""
        return x, x.new_zeros(x.size(0), 1)

    def forward(
        self,
        x: Tensor,
        state: tuple[Tensor, Tensor] | None = None,
        *,
        triples: Tensor,
    ) -> tuple[Tensor, Tensor]:
        r"""Runs one step.

        Args:
            x (torch.Tensor): The relations of given pairs, zero for all others.
            state (tuple, optional): The state of each pair; what is given by default.
                (default: :obj:`None`)
            triples (torch.Tensor): The numbers of the pairs of each triple.
        """
        like = next(self.nn.parameters(), x)
        check_rows(x, self.num_relations, like)
        p, trust = self.initial_state(x) if state is None else state
        check_tensor(p, (x.size(0), self.num_relations), "state[0]", like)
        check_tensor(trust, (x.size(0), 1), "state[1]", like)
        check_pairs(triples, "triples", x, x.size(0), 3)
        known, given = p.any(dim=1), x.any(dim=1)
        first, second, target = triples
        said = known[first] & known[second] & ~given[target]
        first, second, target = triples[:, said]
        left, right = self.nn.project(p, p)
        out = self.nn.relate(left[first] + right[second])
        log_m, s = out[:, :-1].to(p.dtype).log_softmax(dim=1), out[:, -1:]
        m = log_m.exp()
        c = logsigmoid(s.to(p.dtype)) + self.entropy_weight * (m * log_m).sum(1, True)
        c = c + trust[first] + trust[second]
        alpha = softmax(c, target, num_nodes=x.size(0))
        p = x + scatter(alpha * m, target, dim_size=x.size(0))
        return p, scatter(alpha * c, target, dim_size=x.size(0))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.num_relations}, nn={self.nn})"
