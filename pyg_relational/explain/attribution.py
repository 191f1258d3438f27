"""How much each pair moved an answer."""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from pyg_relational._checks import check_name
from pyg_relational.explain.attention import evaluating, to_matrices
from pyg_relational.nn.checks import forward_arguments
from pyg_relational.nn.pairwise import PairMessages
from pyg_relational.ops import batch_to_ptr, fully_connected_edges

METHODS = ("auto", "removal", "integrated_gradients", "captum")
ALL = "distribution"
_STEPS = 32
_ROWS = 1 << 16  # pairs whose answers are computed at once


@runtime_checkable
class SumsPairs(Protocol):
    r"""A model whose answer is a function of the sum of what its pairs say."""

    readout: nn.Module

    def pair_messages(self, *args: Any, **kwargs: Any) -> PairMessages:
        r"""Lists what each pair adds to the sum that :attr:`readout` reads."""
        ...


def pair_attribution(
    model: nn.Module,
    data: Data,
    target: int | Tensor | str | None = None,
    method: str = "auto",
) -> list[Tensor]:
    r"""Returns how much each pair of objects moved an output of a model.

    Where the output is :math:`f(\sum_p \mathbf{m}_p)` over pairs, as in
    :class:`~pyg_relational.models.RelationNetwork`, it is computed from the pairs:

    * :obj:`"removal"`: :math:`f(\sum_q \mathbf{m}_q) - f(\sum_{q \neq p}
      \mathbf{m}_q)`, exactly what the output loses without the pair;
    * :obj:`"integrated_gradients"`: the pairs are faded in together from none to all
      and the gradient is integrated on the way (`Sundararajan et al., 2017
      <https://arxiv.org/abs/1703.01365>`_); the attributions sum to
      :math:`f(\sum_p \mathbf{m}_p) - f(\mathbf{0})`.

    Any other model of PyG layers is given its edges (all pairs, if it has none), and
    captum integrates the gradient of a weight on each edge: :obj:`"captum"`.

    Args:
        model (torch.nn.Module): The model.
        data (Data): A graph or a batch; the model is called with the attributes that
            its :meth:`forward` names.
        target (int, torch.Tensor or str, optional): The column of the output to
            explain, one for all rows or one for each; by default the largest of each
            row. :obj:`"distribution"`, for removal, is how far the pair moves the
            probabilities of all columns: the total variation distance, from 0 to 1.
            (default: :obj:`None`)
        method (str): One of the above; :obj:`"auto"` is :obj:`"removal"` where it
            applies, else :obj:`"captum"`. (default: :obj:`"auto"`)

    Returns:
        list[torch.Tensor]: For each graph (for each question, where a graph is asked
        several) a matrix :math:`[n, n]`: rows are targets, columns are sources.

    Raises:
        ValueError: If the method is unknown or does not fit the model, or
            :obj:`target` does not fit the output.
    """
    check_name("method", method, METHODS)
    if isinstance(target, str):
        check_name("target", target, [ALL])
    if method == "auto":
        method = "removal" if isinstance(model, SumsPairs) else "captum"
    if target == ALL and method != "removal":
        raise ValueError(
            f"'target={ALL!r}' is what removal measures; method={method!r} explains "
            f"one column of the output"
        )
    with evaluating(model):
        if method == "captum":
            return _captum(model, data, target)
        if not isinstance(model, SumsPairs):
            raise ValueError(
                f"method={method!r} needs a model that sums what its pairs say and has "
                f"'pair_messages' and 'readout' (got {type(model).__name__}); "
                f"method='captum' takes any model of PyG layers"
            )
        with torch.no_grad():
            pairs = model.pair_messages(**forward_arguments(model, data))
        run = _removal if method == "removal" else _integrated_gradients
        value = run(model.readout, pairs, target)
    return [
        matrix[0]
        for matrix in to_matrices(
            pairs.edge_index, value.unsqueeze(1), pairs.ptr, pairs.ptr
        )
    ]


def pooled(pairs: PairMessages) -> Tensor:
    r"""The sum of what the pairs of each set say, shape :math:`[B, F]`."""
    return scatter(pairs.message, pairs.owner, 0, pairs.ptr.numel() - 1, "sum")


def _columns(out: Tensor, target: int | Tensor | str | None) -> Tensor:
    """The column to explain for each row of an output."""
    if target is None or isinstance(target, str):
        return out.argmax(dim=-1)
    column = torch.as_tensor(target, device=out.device).expand(out.size(0))
    if column.numel() and not 0 <= int(column.min()) <= int(column.max()) < out.size(1):
        raise ValueError(
            f"'target' must name columns 0 to {out.size(1) - 1} of the output (got "
            f"{int(column.min())} to {int(column.max())})"
        )
    return column


@torch.no_grad()
def _removal(
    readout: nn.Module, pairs: PairMessages, target: int | Tensor | str | None
) -> Tensor:
    total = pooled(pairs)
    out = readout(total)
    column = _columns(out, target)
    moved = []
    for owner, message in zip(
        pairs.owner.split(_ROWS), pairs.message.split(_ROWS), strict=True
    ):
        before, after = out[owner], readout(total[owner] - message)
        if target == ALL:
            change = before.softmax(dim=-1) - after.softmax(dim=-1)
            moved.append(change.abs().sum(dim=-1) / 2)
        else:
            index = column[owner].unsqueeze(1)
            moved.append((before - after).gather(1, index).squeeze(1))
    return torch.cat(moved)


def _integrated_gradients(
    readout: nn.Module, pairs: PairMessages, target: int | Tensor | str | None
) -> Tensor:
    total = pooled(pairs)
    with torch.no_grad():
        column = _columns(readout(total), target).unsqueeze(1)
    gradient = torch.zeros_like(total)
    for step in range(_STEPS):
        # Midpoints of equal steps from no pair to all pairs.
        part = (total * ((step + 0.5) / _STEPS)).requires_grad_()
        out = readout(part).gather(1, column).sum()
        gradient += torch.autograd.grad(out, part)[0]
    return (pairs.message * (gradient / _STEPS)[pairs.owner]).sum(dim=-1)


class _OnEdges(nn.Module):
    """A model as a function of objects and edges alone: explainers pass any further
    arguments by their position."""

    def __init__(self, model: nn.Module, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.model, self.arguments = model, arguments

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.model(x=x, edge_index=edge_index, **self.arguments)


def _captum(
    model: nn.Module, data: Data, target: int | Tensor | str | None
) -> list[Tensor]:
    from torch_geometric.explain import CaptumExplainer, Explainer

    arguments = forward_arguments(model, data)
    x = arguments.pop("x")
    edge_index = arguments.pop("edge_index", None)
    if "batch" in data:
        ptr = batch_to_ptr(data.batch, data.num_graphs)
    else:
        ptr = torch.tensor([0, x.size(0)], device=x.device)
    if edge_index is None:
        edge_index = fully_connected_edges(ptr=ptr)
    on_edges = _OnEdges(model, arguments)
    with torch.no_grad():
        column = _columns(on_edges(x, edge_index), target)
    explainer = Explainer(
        on_edges,
        CaptumExplainer("IntegratedGradients", n_steps=_STEPS),
        explanation_type="phenomenon",
        edge_mask_type="object",
        model_config={
            "mode": "multiclass_classification",
            "task_level": "graph",
            "return_type": "raw",
        },
    )
    mask = explainer(x, edge_index, target=column).edge_mask.to(x.dtype)
    return [
        matrix[0] for matrix in to_matrices(edge_index, mask.unsqueeze(1), ptr, ptr)
    ]
