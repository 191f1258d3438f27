"""Bad values of an argument of :meth:`forward`, each with what is wrong with it."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

#: The set of each row.
OWNERS = ("batch", "index", "u_batch", "sentence_batch")
#: Rows of pairs, or of triples.
PAIRS = ("edge_index", "edge_label_index", "pairs", "triples")
#: The number of sets.
COUNTS = ("batch_size", "dim_size")
#: Whose number of rows others are measured by.
FREE_ROWS = ("x", "h", "image", "sentence", "target", "source", "query", "target_score")
HUGE = 2**40

Bad = Iterator[tuple[str, Any]]


def bad_widths(name: str, x: Tensor, arguments: dict[str, Any]) -> Bad:
    r"""One channel more or fewer."""
    if not x.is_floating_point():
        return
    dim = 1 if name == "image" else x.dim() - 1
    more = x.narrow(dim, 0, 1)
    yield "one channel more", torch.cat([x, more], dim)
    yield "one channel fewer", x.narrow(dim, 0, x.size(dim) - 1)


def bad_dimensions(name: str, x: Tensor, arguments: dict[str, Any]) -> Bad:
    r"""One dimension more or fewer, or edges with three ends."""
    yield "one dimension more", x.unsqueeze(0)
    if x.dim() > 1:
        yield "one dimension fewer", x[0] if name in PAIRS else x[..., 0]
    if name in PAIRS:
        yield "one end more", torch.cat([x, x[:1]])
        yield "transposed", torch.cat([x, x], 1).t()[:7]


def bad_rows(name: str, x: Tensor, arguments: dict[str, Any]) -> Bad:
    r"""One row more or fewer than other arguments ask for."""
    if name in FREE_ROWS or name in PAIRS:
        return
    yield "one row fewer", x[:-1]
    counted = any(count in arguments for count in COUNTS)
    if name != "ptr" and (counted or name != "u" or "batch" not in arguments):
        # Otherwise it is an empty set more.
        yield "one row more", torch.cat([x, x[-1:]])


def bad_dtypes(name: str, x: Tensor, arguments: dict[str, Any]) -> Bad:
    r"""Whole numbers for floats, floats for whole numbers, and other precisions."""
    others: tuple[torch.dtype, ...]
    if x.is_floating_point():
        others = (torch.float32, torch.long, torch.bool)
    elif x.dtype == torch.bool:
        others = (torch.float32, torch.uint8)
    else:
        others = (torch.int32, torch.float64, torch.bool)
    for dtype in others:
        yield str(dtype).removeprefix("torch."), x.to(dtype)


def bad_devices(name: str, x: Tensor, arguments: dict[str, Any]) -> Bad:
    r"""One argument on another device than all others."""
    yield "on another device", x.to("meta")


def negative_numbers(name: str, x: Tensor, arguments: dict[str, Any]) -> Bad:
    r"""A number below zero among those that count or point."""
    if x.dtype == torch.long and x.numel():
        yield "the first is -1", _replaced(x, 0, -1)
        yield "the last is -1", _replaced(x, -1, -1)


def numbers_out_of_range(name: str, x: Tensor, arguments: dict[str, Any]) -> Bad:
    r"""A number one above the largest there may be, or far above."""
    if x.dtype != torch.long or not x.numel():
        return
    sizes = []
    if name in OWNERS:
        sizes = [arguments[count] for count in COUNTS if count in arguments]
    if name in PAIRS:
        rows = next(arguments[key] for key in ("x", "h") if key in arguments)
        rows = rows[1] if isinstance(rows, tuple) else rows
        sizes = [rows.size(0)]
    for value in (*sizes[:1], 10**6, HUGE):
        yield f"the last is {value}", _replaced(x, -1, value)


def _replaced(x: Tensor, place: int, value: int) -> Tensor:
    x = x.clone(memory_format=torch.contiguous_format)
    x.view(-1)[place] = value
    return x


def bad_counts(name: str, count: int, arguments: dict[str, Any]) -> Bad:
    r"""Too few sets, a negative number, a fraction, or more than any memory holds."""
    yield "too few", 1
    yield "negative", -1
    yield "a fraction", count + 0.5
    yield "huge", HUGE


TENSOR_VALUES = {
    "width": bad_widths,
    "dimensions": bad_dimensions,
    "rows": bad_rows,
    "dtype": bad_dtypes,
    "device": bad_devices,
    "negative": negative_numbers,
    "out_of_range": numbers_out_of_range,
}
