"""Argument checks that the operators share."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import torch
from torch import Tensor

from pyg_relational.ops.ragged import check_ptr


def check_choice(value: str, choices: Iterable[str], name: str) -> None:
    r"""Raises a :class:`ValueError` that lists the choices, nearest first, unless
    :obj:`value` is one of them.

    Args:
        value (str): What was given.
        choices (Iterable[str]): What is allowed.
        name (str): What the argument is called in the error.
    """
    choices = list(choices)
    if value in choices:
        return
    near = get_close_matches(str(value), choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"'{name}' must be one of {', '.join(map(repr, choices))} (got {value!r}){hint}"
    )


def check_pair_inputs(
    target: Tensor,
    source: Tensor,
    target_ptr: Tensor | None,
    source_ptr: Tensor | None,
) -> tuple[Tensor, Tensor]:
    r"""Checks what can be checked without reading values, and fills in the boundaries
    of a single set where none are given.

    Args:
        target (torch.Tensor): Rows of the targets, shape :math:`[N, *]`.
        source (torch.Tensor): Rows of the sources, shape :math:`[M, *]`.
        target_ptr (torch.Tensor, optional): Boundaries, shape :math:`[B + 1]`.
        source_ptr (torch.Tensor, optional): Boundaries, shape :math:`[B + 1]`.

    Raises:
        ValueError: If shapes, dtypes, devices or the numbers of sets differ.
    """
    if target.dim() < 2 or target.shape[1:] != source.shape[1:]:
        raise ValueError(
            f"'target' and 'source' must have the same width, shapes [N, H] and "
            f"[M, H] (got {list(target.shape)} and {list(source.shape)}); project "
            f"both to one width first"
        )
    if target.dtype != source.dtype or not target.is_floating_point():
        raise ValueError(
            f"'target' and 'source' must share a floating-point dtype (got "
            f"{target.dtype} and {source.dtype}); convert with '.to(dtype)'"
        )
    if (target_ptr is None) != (source_ptr is None):
        given, missing = ("source_ptr", "target_ptr")
        if source_ptr is None:
            given, missing = missing, given
        raise ValueError(f"'{given}' needs '{missing}' as well (got None)")
    if target_ptr is None or source_ptr is None:
        target_ptr = torch.tensor([0, target.size(0)], device=target.device)
        source_ptr = torch.tensor([0, source.size(0)], device=source.device)
    if target_ptr.shape != source_ptr.shape:
        raise ValueError(
            f"'target_ptr' and 'source_ptr' must bound the same number of sets (got "
            f"{target_ptr.numel() - 1} and {source_ptr.numel() - 1})"
        )
    devices = {x.device for x in (target, source, target_ptr, source_ptr)}
    if len(devices) > 1:
        raise ValueError(
            f"'target', 'source', 'target_ptr' and 'source_ptr' must be on one device "
            f"(got {', '.join(sorted(map(str, devices)))})"
        )
    return target_ptr, source_ptr


def check_sets(
    target: Tensor, source: Tensor, target_ptr: Tensor, source_ptr: Tensor
) -> None:
    r"""Raises a :class:`ValueError` unless both boundaries cut their rows into sets.

    Reads values, so it belongs inside an operator, out of sight of a compiler.

    Args:
        target (torch.Tensor): Rows of the targets, shape :math:`[N, *]`.
        source (torch.Tensor): Rows of the sources, shape :math:`[M, *]`.
        target_ptr (torch.Tensor): Boundaries, shape :math:`[B + 1]`.
        source_ptr (torch.Tensor): Boundaries, shape :math:`[B + 1]`.
    """
    check_ptr(target_ptr, target.size(0), "target_ptr")
    # Often the same sets: each check reads values, which small calls notice.
    if source_ptr is not target_ptr or source.size(0) != target.size(0):
        check_ptr(source_ptr, source.size(0), "source_ptr")


def check_aligned(target_ptr: Tensor, source_ptr: Tensor) -> None:
    r"""Raises a :class:`ValueError` unless targets and sources are the same sets, as
    leaving out the pairs of a row with itself requires."""
    if not torch.equal(target_ptr, source_ptr):
        raise ValueError(
            "'self_pairs=False' needs targets and sources to be the same rows "
            "('target_ptr' equal to 'source_ptr'; got different boundaries)"
        )


def check_layers(
    layers: Sequence[tuple[Tensor, Tensor | None]], x: Tensor, name: str
) -> int:
    r"""Raises a :class:`ValueError` unless each layer takes what the one before gives.

    Args:
        layers (list of tuple): Weight :math:`[O, I]` and bias :math:`[O]` of each.
        x (torch.Tensor): What arrives at the first, :math:`[*, I]`.
        name (str): What the argument is called in the error.

    Returns:
        int: The width that leaves the last.
    """
    width = x.size(1)
    for k, (weight, bias) in enumerate(layers):
        if (
            weight.dim() != 2
            or weight.size(1) != width
            or not weight.is_floating_point()
        ):
            raise ValueError(
                f"the weight of '{name}[{k}]' must be floating point of shape "
                f"[out, {width}], as {width} channels arrive there (got "
                f"{list(weight.shape)}, {weight.dtype})"
            )
        width = weight.size(0)
        if bias is not None and bias.shape != (width,):
            raise ValueError(
                f"the bias of '{name}[{k}]' must have shape [{width}] (got "
                f"{list(bias.shape)})"
            )
        if weight.device != x.device:
            raise ValueError(
                f"'{name}[{k}]' must be on the device of the objects, {x.device} "
                f"(got {weight.device})"
            )
    return width
