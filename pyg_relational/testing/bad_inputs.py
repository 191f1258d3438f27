"""What every relational part answers to bad inputs, as checks."""

import copy
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map
from torch_geometric.data import Batch, Data

from pyg_relational.ops import batch_to_ptr
from pyg_relational.testing.contract import Part, features_of, owners_of

ERRORS = (ValueError, TypeError, IndexError)


@dataclass(frozen=True)
class Call:
    r"""How a part was called.

    Args:
        module (torch.nn.Module): The part.
        arguments (dict): The arguments of its :meth:`forward`.
    """

    module: nn.Module
    arguments: dict[str, Any]

    def __call__(self, **changed: Any) -> list[Tensor]:
        r"""Calls it again, with some arguments changed."""
        with torch.no_grad():
            out = self.module(**{**self.arguments, **changed})
        return [x for x in tree_leaves(out) if isinstance(x, Tensor)]


def recorded(part: Part, data: Data | None = None) -> Call:
    r"""Runs a part and returns its last call."""
    module, calls = part.module(), []

    def keep(module: nn.Module, args: tuple, kwargs: dict) -> None:
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
        given = {**bound.arguments, **bound.arguments.get("graph", {})}
        given.pop("graph", None)
        calls.append({k: v for k, v in given.items() if v is not None})

    hook = module.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        part.run(module, part.batch() if data is None else data)
    finally:
        hook.remove()
    return Call(module, calls[-1])


def by_boundaries(call: Call) -> Call | None:
    r"""The same call with :obj:`ptr` instead of :obj:`index`, where it takes either."""
    if "index" not in call.arguments or not isinstance(call.module, nn.Module):
        return None
    arguments = dict(call.arguments)
    index, size = arguments.pop("index"), arguments.pop("dim_size", None)
    return Call(call.module, {**arguments, "ptr": batch_to_ptr(index, size)})


def tensor_arguments(call: Call) -> Iterator[tuple[str, Tensor, Callable]]:
    r"""Name, value and replacement of each tensor, those of tuples one by one."""
    for name, value in call.arguments.items():
        if isinstance(value, Tensor):
            yield name, value, lambda x: x
        elif isinstance(value, tuple):
            for k, part in enumerate(value):
                yield name, part, lambda x, k=k, v=value: (*v[:k], x, *v[k + 1 :])


def problem(call: Call, expected: list[Tensor], name: str, value: Any) -> str | None:
    r"""Returns what is wrong with the answer to a bad argument: right are an error
    that names it and says what came, and the output as before of a part that does not
    mind."""
    try:
        out = call(**{name: value})
    except ERRORS as error:
        return unnamed(error, [name])
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    both = list(zip(out, expected, strict=True))
    same = all(x.shape == y.shape and x.device == y.device for x, y in both)
    if same and all(
        torch.allclose(x.double(), y.double(), 1e-4, 1e-5) for x, y in both
    ):
        return None
    return "no error, and another output"


def unnamed(error: Exception, names: list[str], words: tuple[str, ...] = ()) -> str:
    r"""Returns what is missing in an error; nothing if it names one of the arguments
    and says what came."""
    # PyG checks what its aggregations are given before they see it.
    text = str(error).replace("source tensor", "'x' (got a tensor)")
    named = any(f"'{name}{end}" in text for name in names for end in "'[=.")
    came = "(got" in text or " but " in text
    if named and came and all(word in text for word in words):
        return ""
    return f"{type(error).__name__}: {text}"


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


# The graph of `SIZES` with the most objects, and those beside it.
BAD, GOOD = 2, (0, 1, 3)


def check_arguments(part: Part, kind: str) -> list[str]:
    r"""Every tensor that a part takes, each with all bad values of a kind."""
    tried, problems = [], []
    first = recorded(part)
    for call in filter(None, (first, by_boundaries(first))):
        expected = call()
        for name, x, replaced in tensor_arguments(call):
            for what, bad in TENSOR_VALUES[kind](name, x, call.arguments):
                tried.append(name)
                found = problem(call, expected, name, replaced(bad))
                if found:
                    problems.append(f"'{name}', {what}: {found}")
    assert not problems, "\n".join(problems)
    return tried


def check_counts(part: Part) -> list[str]:
    r"""Numbers of sets that do not fit the rows, or no memory."""
    call, problems = recorded(part), []
    expected = call()
    names = [name for name in COUNTS if name in call.arguments]
    for name in names:
        for what, bad in bad_counts(name, call.arguments[name], call.arguments):
            if found := problem(call, expected, name, bad):
                problems.append(f"'{name}', {what}: {found}")
    assert not problems, "\n".join(problems)
    return names


def check_module_device(part: Part) -> list[str]:
    r"""A part on another device than its inputs."""
    call = recorded(part)
    moved = Call(copy.deepcopy(call.module).to("meta"), call.arguments)
    names = [name for name, *_ in tensor_arguments(call)]
    try:
        moved()
    except ERRORS as error:
        found = unnamed(error, names, ("cpu", "meta"))
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    else:
        found = "no error"
    assert not found, found
    return names


def check_unsorted(part: Part) -> list[str]:
    r"""Rows that are not sorted by set: the same output, or an error."""
    call, problems = recorded(part), []
    given = call.arguments
    names = [name for name in OWNERS if isinstance(given.get(name), Tensor)]
    for name in names:
        rows = call.arguments[name].numel()
        order = torch.arange(rows).flip(0)
        moved = {
            key: x[order]
            for key, x in call.arguments.items()
            if isinstance(x, Tensor) and x.size(0) == rows and key not in PAIRS
        }
        for key in {"edge_index", "edge_label_index"} & {*call.arguments}:
            if name != "u_batch":
                moved[key] = order[call.arguments[key]]
        try:
            out = call(**moved)[0]
        except ERRORS as error:
            found = unnamed(error, [name])
        else:
            expected = call()[0]
            each = part.output == "node" or name == "u_batch"
            expected = expected[order] if each else expected
            found = "" if torch.allclose(out, expected) else "another output"
        if found:
            problems.append(f"'{name}': {found}")
    assert not problems, "\n".join(problems)
    return names


def check_not_finite(
    part: Part, value: float, float32: bool = False, traced: bool = False
) -> list[str]:
    r"""One graph with bad numbers: an error that names the argument, or no finite
    output for that graph and the same output for all others, to the bit (to rounding
    where values are not looked at: sets that cannot be sorted, and those computed
    beside them, are summed in another order)."""
    if traced and not part.compiles:
        return []
    names = [n for n in features_of(part.batch()) if _floats(part.batch(), n)]
    problems = []
    with patch("torch.compiler.is_compiling", return_value=traced), torch.no_grad():
        for name in names:
            if found := _leak(part, name, value, float32, traced):
                problems.append(f"'{name}' of {value}: {found}")
    assert not problems, "\n".join(problems)
    return names


def _leak(
    part: Part, name: str, value: float, float32: bool, traced: bool
) -> str | None:
    module, data = part.module(), part.batch()
    changed = copy.copy(data)
    changed[name] = data[name].clone()
    changed[name][owners_of(data, name) == BAD] = value
    if float32:
        module = module.float()
        data, changed = (
            batch.apply(lambda x: x.float() if x.is_floating_point() else x)
            for batch in (data, changed)
        )
    before = part.split(part.run(module, data), data)
    try:
        after = part.split(part.run(module, changed), changed)
    except ERRORS as error:
        return unnamed(error, [name, *inspect.signature(module.forward).parameters])
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if bool(after[BAD].isfinite().all()) and after[BAD].numel() and not float32:
        return "the output is finite"
    same = partial(torch.allclose, rtol=1e-12, atol=1e-14) if traced else torch.equal
    leaks = [s for s in GOOD if not same(before[s], after[s])]
    return f"graph {BAD} leaks into {leaks}" if leaks else None


def _floats(data: Batch, name: str) -> bool:
    owned = data[name][owners_of(data, name) == BAD]
    return owned.is_floating_point() and owned.numel() > 0


def check_empty(part: Part) -> list[str]:
    r"""No sets, and no edges: an output without rows or of finite numbers, or an error
    that names an argument."""
    call, problems = recorded(part), []
    arguments, (expected, *_) = call.arguments, call()
    nothing = {
        name: _emptied(name, value)
        for name, value in arguments.items()
        if name not in ("steps", "last")
    }
    cases = {"no sets": nothing}
    edges = ("edge_index", "edge_attr", "edge_time")
    if "edge_index" in arguments:
        cases["no edges"] = {n: nothing[n] for n in edges if n in arguments}
    for what, changed in cases.items():
        try:
            out = call(**changed)[0]
        except ERRORS as error:
            found = unnamed(error, list(changed))
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        else:
            none = what == "no sets" and out.size(0) > 0
            wrong = none or out.shape[1:] != expected.shape[1:]
            wrong = wrong or not bool(out.isfinite().all())
            found = f"an output of shape {list(out.shape)}" if wrong else ""
        if found:
            problems.append(f"{what}: {found}")
    assert not problems, "\n".join(problems)
    return list(cases)


def _emptied(name: str, value: Any) -> Any:
    if name in COUNTS:
        return 0
    if name in PAIRS:
        return value[:, :0]
    return tree_map(lambda x: x[:0] if isinstance(x, Tensor) else x, value)


#: Checks by what is wrong; each returns the arguments that it tried.
BAD_INPUTS: dict[str, Callable[[Part], list[str]]] = {
    **{kind: partial(check_arguments, kind=kind) for kind in TENSOR_VALUES},
    "module_device": check_module_device,
    "counts": check_counts,
    "unsorted": check_unsorted,
    "empty": check_empty,
    "nan": partial(check_not_finite, value=float("nan")),
    "infinity": partial(check_not_finite, value=float("inf")),
    "nan_traced": partial(check_not_finite, value=float("nan"), traced=True),
    "infinity_traced": partial(check_not_finite, value=float("-inf"), traced=True),
    "huge": partial(check_not_finite, value=1e30, float32=True),
}
