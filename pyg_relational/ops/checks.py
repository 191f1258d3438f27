"""Checks of tensors that operators and layers share."""

from collections.abc import Sequence

import torch
from torch import Tensor

# More sets than any memory holds: a wrong number, not a large batch.
MAX_SETS = 2**31
_SHORT = 1024  # boundaries that are faster read as a list


def check_pair_inputs(
    target: Tensor,
    source: Tensor,
    target_ptr: Tensor | None,
    source_ptr: Tensor | None,
    names: tuple[str, str] = ("target", "source"),
    **others: Tensor,
) -> tuple[Tensor, Tensor]:
    r"""Checks what can be checked without reading values, and fills in the boundaries
    of a single set where none are given."""
    both = f"'{names[0]}' and '{names[1]}'"
    if target.dim() < 2 or target.shape[1:] != source.shape[1:]:
        raise ValueError(
            f"{both} must have the same width, shapes [N, H] and "
            f"[M, H] (got {list(target.shape)} and {list(source.shape)}); project "
            f"both to one width first"
        )
    if target.dtype != source.dtype or not target.is_floating_point():
        raise ValueError(
            f"{both} must share a floating-point dtype (got "
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
    known = names[0]
    placed = {names[1]: source, "target_ptr": target_ptr, "source_ptr": source_ptr}
    for name, x in {**placed, **others}.items():
        check_device(x, target.device, name, f"'{known}'")
    return target_ptr, source_ptr


def check_sets(
    target: Tensor, source: Tensor, target_ptr: Tensor, source_ptr: Tensor
) -> None:
    r"""Raises a :class:`ValueError` unless both boundaries cut their rows into sets.

    Reads values, so it belongs inside an operator, out of sight of a compiler."""
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
    r"""Raises a :class:`ValueError` unless each layer takes what the one before
    gives."""
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


def check_device(x: Tensor, device: torch.device, name: str, owner: str) -> None:
    r"""Raises a :class:`ValueError` unless :obj:`x` is on a device."""
    if x.device != device:
        raise ValueError(
            f"'{name}' must be on the device of {owner}, {device} (got {x.device}); "
            f"move it with '.to(\"{device}\")'"
        )


def check_vector(x: Tensor, name: str) -> None:
    r"""Raises an error unless :obj:`x` is a vector of whole numbers."""
    if not isinstance(x, Tensor):
        raise TypeError(f"'{name}' must be a tensor (got {type(x).__name__})")
    if x.dim() != 1 or x.dtype != torch.long:
        raise ValueError(
            f"'{name}' must be a vector of dtype int64 (got shape {list(x.shape)}, "
            f"dtype {x.dtype})"
        )


def check_count(count: int, name: str) -> None:
    r"""Raises an error unless :obj:`count` may be a number of sets."""
    if not isinstance(count, (int, torch.SymInt)):
        raise TypeError(
            f"'{name}' must be a whole number (got {count!r} of type "
            f"{type(count).__name__})"
        )
    if not 0 <= count < MAX_SETS:
        raise ValueError(
            f"'{name}' must be from 0 to less than {MAX_SETS}, the number of sets "
            f"(got {count})"
        )


def check_ptr(ptr: Tensor, num_rows: int, name: str) -> None:
    r"""Raises a :class:`ValueError` unless :obj:`ptr` cuts :obj:`num_rows` rows into
    consecutive sets."""
    if ptr.dim() != 1 or ptr.numel() == 0 or ptr.dtype != torch.long:
        raise ValueError(
            f"'{name}' must be a non-empty vector of dtype int64 (got shape "
            f"{list(ptr.shape)}, dtype {ptr.dtype})"
        )
    # One wait for the device.
    if ptr.numel() <= _SHORT:
        bounds = ptr.tolist()
        first, last, ascending = bounds[0], bounds[-1], bounds == sorted(bounds)
    else:
        least = ptr.diff().amin()
        first, last, step = torch.stack([ptr[0], ptr[-1], least]).tolist()
        ascending = step >= 0
    if first != 0 or last != num_rows:
        raise ValueError(
            f"'{name}' must run from 0 to the number of rows {num_rows} "
            f"(got {first} to {last})"
        )
    if not ascending:
        raise ValueError(
            f"'{name}' must be ascending (got an unsorted vector); boundaries are "
            f"cumulative set sizes starting at 0"
        )


def reads_for_free(x: Tensor) -> bool:
    r"""Whether the values of :obj:`x` are at hand: on a CPU, untraced."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def check_dtype(x: Tensor, other: Tensor, names: tuple[str, str]) -> None:
    r"""Raises a :class:`ValueError` unless two tensors share a dtype, which autocast
    sees to where it is on."""
    if x.dtype != other.dtype and not torch.is_autocast_enabled(x.device.type):
        raise ValueError(
            f"'{names[0]}' must have the dtype of '{names[1]}', {other.dtype} (got "
            f"{x.dtype}); convert with '.to(dtype)'"
        )
