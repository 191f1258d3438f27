"""What recurrent cells are built from and given."""

from collections.abc import Callable

from torch import Tensor

from pyg_relational.nn.checks import check_features, check_finite, check_kind
from pyg_relational.nn.pairwise import PairwiseMLP

# The first tensor is what a cell puts out; an LSTM has a second one, its memory.
State = Tensor | tuple[Tensor, ...]


def map_state(state: State, function: Callable[[Tensor], Tensor]) -> State:
    r"""Applies a function to each tensor of a state."""
    if isinstance(state, Tensor):
        return function(state)
    return tuple(function(part) for part in state)


def check_relation(nn: PairwiseMLP, hidden_channels: int) -> None:
    r"""Raises a :class:`ValueError` unless a relation relates states."""
    expected = (hidden_channels, hidden_channels)
    if nn.in_channels != expected:
        raise ValueError(
            f"'nn' must relate states, 'in_channels={expected}' as "
            f"'hidden_channels={hidden_channels}' (got {nn.in_channels}); the input "
            f"'x' enters through the gates, not through messages"
        )


def check_rows(x: Tensor, in_channels: int, like: Tensor) -> None:
    r"""Raises an error unless :obj:`x` is the input of one step."""
    if isinstance(x, Tensor) and x.dim() == 3:
        raise ValueError(
            f"'x' must be the input of one step, shape [N, {in_channels}] (got shape "
            f"{list(x.shape)}); 'Unroll(cell)' runs a cell along time"
        )
    check_features(x, in_channels, "x", like)


def check_tensor(state: State, shape: tuple[int, ...], name: str, like: Tensor) -> None:
    r"""Raises an error unless a state is a finite tensor of the right shape, dtype and
    device."""
    if not isinstance(state, Tensor):
        raise TypeError(f"'{name}' must be a tensor (got {type(state).__name__})")
    if state.shape != shape:
        raise ValueError(
            f"'{name}' must have shape {list(shape)}, one row for each row of 'x' "
            f"(got {list(state.shape)})"
        )
    check_kind(state, name, like)
    check_finite(state, name)


def answered_steps(steps: int, last: int | None) -> tuple[int, int]:
    r"""Returns how many steps go unanswered, and how many last ones are answered."""
    if last is None:
        return 0, steps
    if not 1 <= last <= steps:
        raise ValueError(
            f"'last' must be from 1 to the number of steps, {steps} (got {last})"
        )
    return steps - last, last
