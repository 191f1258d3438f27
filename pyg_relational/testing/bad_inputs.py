"""What every relational part answers to bad inputs, as checks."""

import copy
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._pytree import tree_map
from torch_geometric.data import Batch

from pyg_relational.testing.bad_values import (
    COUNTS,
    OWNERS,
    PAIRS,
    TENSOR_VALUES,
    bad_counts,
)
from pyg_relational.testing.calls import (
    ERRORS,
    Call,
    by_boundaries,
    problem,
    recorded,
    tensor_arguments,
    unnamed,
)
from pyg_relational.testing.contract import Part, features_of, owners_of

# The graph of `SIZES` with the most objects, and those beside it.
BAD, GOOD = 2, (0, 1, 3)


def check_arguments(part: Part, kind: str) -> list[str]:
    r"""Every tensor that a part takes, each with all bad values of a kind.

    Args:
        part (Part): The layer or model, and how to use it.
        kind (str): A key of :obj:`TENSOR_VALUES`.
    """
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
        if "edge_index" in call.arguments and name != "u_batch":
            moved["edge_index"] = order[call.arguments["edge_index"]]
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
    beside them, are summed in another order).

    Args:
        part (Part): The layer or model, and how to use it.
        value (float): The bad number.
        float32 (bool): Whether to compute in float32, in which a large number
            overflows; outputs may then be finite. (default: :obj:`False`)
        traced (bool): Whether values are not looked at, as while a compiler traces.
            (default: :obj:`False`)
    """
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
