"""Calls of a relational part that can be repeated with other arguments."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch_geometric.data import Data

from pyg_relational.ops import batch_to_ptr
from pyg_relational.testing.contract import Part

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
    r"""Runs a part and returns its last call.

    Args:
        part (Part): The layer or model, and how to use it.
        data (Data, optional): The batch; by default one of the part's own.
            (default: :obj:`None`)
    """
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
    mind.

    Args:
        call (Call): The call with good arguments.
        expected (list of torch.Tensor): Its output.
        name (str): The argument.
        value (object): Its bad value.
    """
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
