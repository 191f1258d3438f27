"""What the features of two objects say side by side."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

INTERACTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "difference": lambda source, target: (target - source).abs(),
    "offset": lambda source, target: target - source,
    "product": lambda source, target: source * target,
}


def check_interactions(names: Sequence[str]) -> list[str]:
    """Return names of interactions as a list; refuse unknown and repeated ones."""
    known = ", ".join(INTERACTIONS)
    if isinstance(names, str) or not {*names} <= {*INTERACTIONS}:
        raise ValueError(f"'interactions' must be a list of {known} (got {names!r})")
    if len({*names}) != len(names):
        raise ValueError(f"'interactions' must not repeat a name (got {list(names)})")
    return list(names)


def pair_interactions(
    x: Tensor, edge_index: Tensor, names: Sequence[str] = ("difference", "product")
) -> Tensor:
    r"""Returns interactions of the features of given pairs, as edge features.

    Of a pair from source :math:`j` to target :math:`i`, the `"difference"` is
    :math:`|\mathbf{x}_i - \mathbf{x}_j|`, the `"offset"`
    :math:`\mathbf{x}_i - \mathbf{x}_j` and the `"product"`
    :math:`\mathbf{x}_i \odot \mathbf{x}_j`.

    Args:
        x (torch.Tensor): Objects, shape :math:`[N, F]`.
        edge_index (torch.Tensor): The pairs from source to target, :math:`[2, P]`.
        names (list of str): The interactions, one or more.
            (default: :obj:`("difference", "product")`)

    Returns:
        torch.Tensor: Shape :math:`[P, K \cdot F]` for :math:`K` names, in their order.

    Raises:
        ValueError: If a name is unknown or repeated, or an interaction overflows.
    """
    check_interactions(names)
    source, target = x[edge_index[0]], x[edge_index[1]]
    out = torch.cat([INTERACTIONS[name](source, target) for name in names], dim=-1)
    if torch.compiler.is_compiling() or out.numel() == 0:
        return out
    low, high = out.detach().aminmax()
    if not math.isfinite(float(high - low)):
        raise ValueError(
            f"'x' must be finite and small enough to multiply (got features up to "
            f"{float(x.detach().abs().amax()):.1e}); scale them first"
        )
    return out
