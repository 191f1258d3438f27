"""Whether two batches are the same."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch_geometric.data import Batch, Data


def check_same_batch(found: Batch, expected: Batch) -> None:
    """Compares all that batches hold, bit by bit: class, attributes and their order,
    number of graphs, slices, increments, and the graphs that come out."""
    _check("class", type(found), type(expected))
    _check_data("batch", found, expected)
    names = {"_num_graphs", "_slice_dict", "_inc_dict", "_num_nodes"}
    for name in sorted(names):
        one, other = found._store.__dict__, expected._store.__dict__
        _check(name, one.get(name), other.get(name))
    for number in range(expected.num_graphs):
        graphs = found.get_example(number), expected.get_example(number)
        _check_data(f"graph {number}", *graphs)


def _check_data(name: str, found: Data, expected: Data) -> None:
    _check(f"class of {name}", type(found), type(expected))
    pairs = [dict(data._store.items()) for data in (found, expected)]
    _check(f"names of {name}", *map(list, pairs))
    _check(name, *pairs)


def _check(name: str, found: Any, expected: Any) -> None:
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        _check(f"names of {name}", [*found], [*expected])
        for key, value in expected.items():
            _check(f"'{key}' of {name}", found[key], value)
        return
    same = type(found) is type(expected)
    if same and isinstance(expected, Tensor):
        same = found.dtype == expected.dtype and found.device == expected.device
        same = same and found.shape == expected.shape
        # Whatever is not a number is equal to itself here.
        equal = (found == expected) | ((found != found) & (expected != expected))
        same = same and bool(equal.all())
    elif same:
        same = found == expected
    if not same:
        raise AssertionError(f"{name} differs: expected {expected}, got {found}")
