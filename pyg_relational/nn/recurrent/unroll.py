from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.utils import subgraph

from pyg_relational.nn.composite import Composite
from pyg_relational.nn.recurrent.state import State, map_state

GRAPH = ("edge_index", "edge_attr", "u", "batch", "batch_size")


class Unroll(Composite):
    r"""Runs a recurrent cell along time, or for several steps on the same input.

    .. math::
        \mathbf{s}^{(t)} = \mathrm{cell}(\mathbf{x}^{(t)}, \mathbf{s}^{(t - 1)},
        \mathrm{graph})

    The cell is any module :obj:`cell(x, state, **graph)` that returns its new state, a
    tensor or a tuple whose first tensor is its output: those of this package and
    :class:`torch.nn.RNNCell`, :class:`torch.nn.GRUCell` and
    :class:`torch.nn.LSTMCell`. The state belongs to the caller: given back, it
    continues where it ended.

    With a :obj:`mask`, a row that is absent at a step keeps its state to the bit, and
    is not there for the others either: the cell sees the present rows alone, with the
    pairs and edges between them. The input of absent rows is not read and may be
    :obj:`NaN`.

    Args:
        cell (torch.nn.Module): The cell, the same for all steps.
        truncate (int, optional): If set, gradients flow back through at most so many
            steps: the state is detached after every :obj:`truncate` steps of a call. A
            given state is not; detach it to train on a long series piece by piece.
            (default: :obj:`None`)

    Shapes:
        - **input:** along time :math:`(N, T, F)` with a mask :math:`(N, T)`, or
          :math:`(N, F)` for :math:`K` steps
        - **output:** outputs :math:`(N, T, *)` or :math:`(N, K, *)`, and the last
          state, :math:`(N, *)` or a tuple

    Raises:
        ValueError: If shapes or numbers of steps do not fit.
        TypeError: If the state is neither a tensor nor a tuple of tensors.
    """

    def __init__(self, cell: nn.Module, truncate: int | None = None) -> None:
        super().__init__()
        if truncate is not None and truncate < 1:
            raise ValueError(f"'truncate' must be at least 1 or None (got {truncate})")
        self.cell, self.truncate = cell, truncate

    def forward(
        self,
        x: Tensor,
        state: State | None = None,
        *,
        steps: int | None = None,
        mask: Tensor | None = None,
        **graph: Any,
    ) -> tuple[Tensor, State]:
        r"""Runs all steps and returns the outputs of each, and the last state.

        Args:
            x (torch.Tensor): The inputs of all steps, shape :math:`[N, T, F]`, or one
                for all of them, :math:`[N, F]`.
            state (torch.Tensor or tuple, optional): The state to start from; by default
                the cell's own. (default: :obj:`None`)
            steps (int, optional): The number of steps :math:`K`, for an :obj:`x` that
                has no time. (default: :obj:`None`)
            mask (torch.Tensor, optional): True where a row is present, shape
                :math:`[N, T]`; always by default. (default: :obj:`None`)
            **graph (optional): What else the cell takes, the same at all steps, such as
                :obj:`edge_index` or :obj:`batch`.
        """
        inputs = _inputs(x, steps)
        if state is not None:
            _check_state(state, x.size(0))
        if mask is not None:
            _check_mask(mask, x, graph)
            if not torch.compiler.is_compiling() and bool(mask.all()):
                mask = None
        if mask is not None and state is None:
            state = _initial_state(self.cell, inputs[0])
        rows = None if mask is None else _present_rows(mask)
        outputs: list[Tensor] = []
        last: Any = state
        for t, x_t in enumerate(inputs):
            if self.truncate is not None and t > 0 and t % self.truncate == 0:
                last = map_state(last, Tensor.detach)
            if rows is None or mask is None:
                last = self.cell(x_t, last, **graph)
            elif rows[t].numel():
                last = self._update(x_t, last, rows[t], mask[:, t], graph)
            outputs.append(last if isinstance(last, Tensor) else last[0])
        return torch.stack(outputs, dim=1), last

    def _update(
        self, x: Tensor, state: Any, rows: Tensor, present: Tensor, graph: dict
    ) -> State:
        """One step of the present rows."""
        new = self.cell(
            x.index_select(0, rows),
            map_state(state, lambda part: part.index_select(0, rows)),
            **_present_graph(graph, rows, present),
        )
        if isinstance(state, Tensor):
            return state.index_copy(0, rows, new.to(state.dtype))
        parts = zip(state, new, strict=True)
        return tuple(old.index_copy(0, rows, n.to(old.dtype)) for old, n in parts)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(cell={self.cell}, truncate={self.truncate})"


def _inputs(x: Tensor, steps: int | None) -> list[Tensor]:
    """The input of each step."""
    if x.dim() == 3:
        if steps is not None:
            raise ValueError(
                f"'steps' is for an 'x' of shape [N, F], which has no time (got "
                f"steps={steps} with shape {list(x.shape)}); leave it out"
            )
        if x.size(1) == 0:
            raise ValueError(
                f"'x' must have at least one step, shape [N, T, F] (got shape "
                f"{list(x.shape)})"
            )
        return list(x.unbind(1))
    if x.dim() != 2:
        raise ValueError(
            f"'x' must have shape [N, T, F], or [N, F] with 'steps' (got "
            f"{list(x.shape)})"
        )
    if steps is None:
        raise ValueError(
            f"'steps' is missing (got None); an 'x' of shape {list(x.shape)} has no "
            f"time, say how many steps to run on it"
        )
    if steps < 1:
        raise ValueError(f"'steps' must be at least 1 (got {steps})")
    return [x] * steps


def _check_mask(mask: Tensor, x: Tensor, graph: dict[str, Any]) -> None:
    if x.dim() != 3:
        raise ValueError(
            f"'mask' says who is present at which time, for an 'x' of shape [N, T, F] "
            f"(got shape {list(x.shape)}); leave it out"
        )
    if mask.shape != x.shape[:2] or mask.dtype != torch.bool:
        raise ValueError(
            f"'mask' must be boolean of shape {list(x.shape[:2])} (got shape "
            f"{list(mask.shape)}, dtype {mask.dtype})"
        )
    if unknown := sorted(set(graph) - set(GRAPH)):
        raise ValueError(
            f"with 'mask' a cell may take {', '.join(map(repr, GRAPH))} (got "
            f"{', '.join(map(repr, unknown))}); it is not known which of their rows "
            f"are absent"
        )


def _check_state(state: Any, num_rows: int) -> None:
    parts = state if isinstance(state, tuple) else (state,)
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        raise TypeError(
            f"'state' must be a tensor or a tuple of tensors (got "
            f"{type(state).__name__}); pass on what 'Unroll' returned"
        )
    for part in parts:
        if part.dim() < 2 or part.size(0) != num_rows:
            raise ValueError(
                f"'state' must have one row for each of the {num_rows} rows of 'x' "
                f"(got shape {list(part.shape)})"
            )


def _initial_state(cell: nn.Module, x: Tensor) -> State:
    """The state of rows that are absent from the start."""
    if isinstance(cell, nn.RNNCellBase):
        zeros = x.new_zeros(x.size(0), cell.hidden_size)
        return (zeros, zeros) if isinstance(cell, nn.LSTMCell) else zeros
    if not hasattr(cell, "initial_state"):
        raise ValueError(
            f"with 'mask', 'state' is needed: {type(cell).__name__} has no method "
            f"'initial_state(x)' that gives the state of rows that are absent from "
            f"the start"
        )
    return cell.initial_state(x)  # type: ignore[operator]


def _present_rows(mask: Tensor) -> tuple[Tensor, ...]:
    """The present rows of each step; one wait for the device serves all steps."""
    return mask.t().nonzero()[:, 1].split(mask.sum(dim=0).tolist())


def _present_graph(
    graph: dict[str, Any], rows: Tensor, present: Tensor
) -> dict[str, Any]:
    """The graph of the present rows."""
    graph = dict(graph)
    if graph.get("batch") is not None:
        graph["batch"] = graph["batch"].index_select(0, rows)
    if graph.get("edge_index") is not None:
        graph["edge_index"], edge_attr = subgraph(
            present, graph["edge_index"], graph.get("edge_attr"), relabel_nodes=True
        )
        if edge_attr is not None:
            graph["edge_attr"] = edge_attr
    return graph
