"""Predicates over all pairs or triples of the objects of each set of a batch."""

from __future__ import annotations

import inspect
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.ops import batch_to_ptr, fully_connected_edges

Columns = Mapping[str, int | str | Sequence[int]] | Sequence[str]
Attribute = str | tuple[str, ...]
# How the names of columns say that a value is there, or of no known category.
_KNOWN, _UNSEEN = ".known", "=<unseen>"


class Objects:
    r"""The objects in one place of many pairs or triples, as a predicate sees them.

    :obj:`a["size"]` is the attribute of each object: :math:`[P]` where it has one
    column, :math:`[P, C]` where it has several; :obj:`a["left", "top"]` joins
    attributes to :math:`[P, C]`.

    Args:
        table (dict): The values of each attribute, :math:`[N]` or :math:`[N, C]`.
        index (torch.Tensor): The object in each pair, shape :math:`[P]`.

    Raises:
        ValueError: If an attribute is read that no column holds.
    """

    def __init__(self, table: Mapping[str, Tensor], index: Tensor) -> None:
        self.table, self.index = table, index

    def __len__(self) -> int:
        return self.index.numel()

    def __getitem__(self, name: Attribute) -> Tensor:
        if isinstance(name, tuple):
            return torch.cat([self.matrix(part) for part in name], dim=1)
        if name not in self.table:
            near = get_close_matches(str(name), list(self.table), n=1)
            raise ValueError(
                f"'columns' must name the attribute {name!r}, which a predicate reads "
                f"(got {', '.join(map(repr, self.table)) or 'no attribute'})"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )
        return self.table[name].index_select(0, self.index)

    def matrix(self, name: Attribute) -> Tensor:
        r"""Returns an attribute with its columns, :math:`[P, C]`, also where there is
        one."""
        value = self[name]
        return value if value.dim() == 2 else value.unsqueeze(1)


@dataclass(frozen=True)
class Predicate:
    r"""A named statement :math:`r(a, b)` or :math:`r(a, b, c)` about objects, which
    holds or not.

    Args:
        name (str): What it is called.
        arity (int): The number of objects it is about, 2 or 3.
        function (callable): Takes :class:`Objects` for each place, for all pairs (or
            triples) at once, and returns whether it holds in each, a boolean tensor
            :math:`[P]`.

    Raises:
        ValueError: If the name is empty, the arity is neither 2 nor 3, or the function
            returns anything but a truth value a pair.
        TypeError: If the function cannot be called, or a predicate is called with
            another number of places.

    .. code-block:: python

        heavier = Predicate("heavier", 2, lambda a, b: a["weight"] > b["weight"])
    """

    name: str
    arity: int
    function: Callable[..., Tensor]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"'name' must be a non-empty string (got {self.name!r})")
        if self.arity not in (2, 3):
            raise ValueError(f"'arity' must be 2 or 3 (got {self.arity!r})")
        if not callable(self.function):
            raise TypeError(
                f"'function' must be callable (got {type(self.function).__name__})"
            )

    def __call__(self, *objects: Objects) -> Tensor:
        if len(objects) != self.arity:
            raise TypeError(
                f"predicate '{self.name}' is about {self.arity} objects (got "
                f"{len(objects)})"
            )
        holds = self.function(*objects)
        shape = (len(objects[0]),)
        if not isinstance(holds, Tensor):
            got = type(holds).__name__
        elif holds.dtype != torch.bool or holds.shape != shape:
            got = f"{holds.dtype} of shape {list(holds.shape)}"
        else:
            return holds
        raise ValueError(
            f"predicate '{self.name}' must return a boolean tensor of shape "
            f"{list(shape)}, one truth value a pair or triple (got {got}); compare "
            f"numbers, and reduce several columns with '.all(dim=1)'"
        )


def predicate(function: Callable[..., Tensor]) -> Predicate:
    r"""Turns a function of two or three :class:`Objects` into a :class:`Predicate` of
    the same name, as a decorator.

    Args:
        function (callable): As in :class:`Predicate`; each parameter is a place.

    .. code-block:: python

        @predicate
        def heavier(a, b):
            return a["weight"] > b["weight"]
    """
    return Predicate(
        function.__name__, len(inspect.signature(function).parameters), function
    )


def pair_relations(
    data: Data,
    predicates: Sequence[Predicate],
    columns: Columns,
    self_pairs: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""Tells which predicates hold for each ordered pair of objects of each graph.

    Pairs are read from source to target: :obj:`larger` at the pair :math:`(a, b)` says
    that the source :math:`a` is larger than the target :math:`b`. There are
    :math:`n (n - 1)` pairs in a set of :math:`n` objects, none across graphs; time and
    memory grow with their number. A comparison with an unknown value (NaN) does not
    hold.

    Args:
        data (Data): A graph, or a batch of them.
        predicates (list of Predicate): The predicates, each about two objects.
        columns (dict or list of str): Where the attributes are, as in
            :func:`attribute_table`.
        self_pairs (bool): Whether to include the pairs :math:`(a, a)`.
            (default: :obj:`False`)

    Returns:
        (torch.Tensor, torch.Tensor): The pairs :math:`[2, P]`, sorted by target and
        then by source, and whether each of :math:`R` predicates holds, boolean
        :math:`[P, R]`.

    Raises:
        ValueError: If a predicate is not about two objects, or reads an attribute that
            no column holds.
    """
    index = fully_connected_edges(ptr=set_boundaries(data), self_pairs=self_pairs)
    return index, _evaluate(data, predicates, columns, index)


def triple_relations(
    data: Data, predicates: Sequence[Predicate], columns: Columns
) -> tuple[Tensor, Tensor]:
    r"""Tells which predicates hold for each ordered triple of different objects of each
    graph.

    There are :math:`n (n - 1) (n - 2)` of them in a set of :math:`n` objects: time and
    memory are cubic, a million triples for 100 objects.

    Args:
        data, predicates, columns: As in :func:`pair_relations`; each predicate is
            about three objects.

    Returns:
        (torch.Tensor, torch.Tensor): The triples :math:`[3, T]` in lexical order, and
        whether each of :math:`R` predicates holds, boolean :math:`[T, R]`.

    Raises:
        ValueError: If a predicate is not about three objects, or reads an attribute
            that no column holds.
    """
    index = _all_triples(set_boundaries(data))
    return index, _evaluate(data, predicates, columns, index)


def typed_edges(index: Tensor, holds: Tensor) -> tuple[Tensor, Tensor]:
    r"""Keeps the pairs in which a predicate holds as edges, one for each predicate that
    does.

    Args:
        index (torch.Tensor): The pairs, shape :math:`[2, P]`.
        holds (torch.Tensor): Whether each predicate holds, boolean :math:`[P, R]`.

    Returns:
        (torch.Tensor, torch.Tensor): :obj:`edge_index` :math:`[2, E]` in the order of
        the pairs, and :obj:`edge_type` :math:`[E]`, the number of the predicate.
    """
    pair, kind = holds.nonzero().unbind(1)
    return index[:, pair], kind


def set_boundaries(data: Data) -> Tensor:
    r"""Returns where the graphs of a batch begin and end among its objects,
    :math:`[B + 1]`; a graph that is no batch is one set."""
    device = next((v.device for _, v in data if isinstance(v, Tensor)), None)
    if data.get("ptr") is not None:
        return data.ptr
    if data.get("batch") is not None:
        return batch_to_ptr(data.batch, getattr(data, "num_graphs", None))
    return torch.tensor([0, data.num_nodes or 0], device=device)


def _all_triples(ptr: Tensor) -> Tensor:
    size = ptr.diff()
    count = size**3
    n = size.repeat_interleave(count)
    before = count.cumsum(0) - count
    position = torch.arange(n.numel(), device=ptr.device)
    position -= before.repeat_interleave(count)
    places = [position // n**2, position // n % n, position % n]
    first, second, third = places
    different = (first != second) & (second != third) & (first != third)
    index = torch.stack(places) + ptr[:-1].repeat_interleave(count)
    return index[:, different]


def _evaluate(
    data: Data, predicates: Sequence[Predicate], columns: Columns, index: Tensor
) -> Tensor:
    for item in predicates:
        if not isinstance(item, Predicate) or item.arity != index.size(0):
            what = "pairs" if index.size(0) == 2 else "triples"
            got = (
                f"'{item.name}', which is about {item.arity}"
                if isinstance(item, Predicate)
                else repr(item)
            )
            raise ValueError(
                f"'predicates' of {what} must be of class Predicate, about "
                f"{index.size(0)} objects (got {got})"
            )
    table = attribute_table(data, columns)
    objects = [Objects(table, place) for place in index]
    holds = index.new_empty(index.size(1), len(predicates), dtype=torch.bool)
    for k, item in enumerate(predicates):
        holds[:, k] = item(*objects)
    return holds


def attribute_table(data: Data, columns: Columns) -> dict[str, Tensor]:
    r"""Finds the values of each named attribute of the objects of a graph or batch."""
    if isinstance(columns, str):
        raise TypeError(
            f"'columns' must be a mapping from attributes to columns, or the list of "
            f"the names of all columns (got the string {columns!r})"
        )
    if isinstance(columns, Mapping):
        table = {name: _values(data, name, place) for name, place in columns.items()}
    else:
        table = _named_columns(list(columns), _features(data))
    return {
        name: value if value.is_floating_point() else value.long()
        for name, value in table.items()
    }


def _named_columns(names: list[str], x: Tensor) -> dict[str, Tensor]:
    if len(names) != x.size(1):
        raise ValueError(
            f"'columns' must name each of the {x.size(1)} columns of 'x' (got "
            f"{len(names)} names); pass a mapping to name only some"
        )
    place = dict(zip(names, range(len(names)), strict=True))
    if len(place) < len(names):
        name, count = Counter(names).most_common(1)[0]
        raise ValueError(
            f"'columns' must name each column differently (got {name!r} {count} times)"
        )
    groups: dict[str, list[int]] = {}
    unknown: list[tuple[str, Tensor]] = []
    for name, column in place.items():
        base = name.removesuffix(_KNOWN)
        if base != name:
            unknown.append((base, x[:, column] <= 0.5))
            continue
        if name.endswith(_UNSEEN):
            unknown.append((name.removesuffix(_UNSEEN), x[:, column] > 0.5))
        for end in re.finditer(r"[=.\[]", name):
            groups.setdefault(name[: end.start()], []).append(column)
    table = {name: x[:, columns] for name, columns in groups.items()}
    # A column's own name comes first, whatever else starts like it.
    table |= {name: x[:, column] for name, column in place.items()}
    for base, rows in unknown:
        parts = [name for name in table if name.startswith((f"{base}.", f"{base}["))]
        for name in [base, *parts]:
            if name in table and not name.endswith(_KNOWN):
                table[name] = _without(table[name], rows)
    return table


def _without(value: Tensor, rows: Tensor) -> Tensor:
    value = value if value.is_floating_point() else value.double()
    rows = rows if value.dim() == 1 else rows.unsqueeze(1)
    return value.masked_fill(rows, math.nan)


def _values(data: Data, name: str, place: int | str | Sequence[int]) -> Tensor:
    if isinstance(place, str):
        value, rows = data.get(place), data.num_nodes
        fits = isinstance(value, Tensor) and value.dim() in (1, 2)
        if not fits or value.size(0) != rows:
            shape = list(value.shape) if isinstance(value, Tensor) else None
            got = type(value).__name__ if shape is None else f"shape {shape}"
            raise ValueError(
                f"'columns[{name!r}]' names '{place}', which must be a tensor of the "
                f"data with one row for each of {rows} objects (got {got})"
            )
        return value
    x = _features(data)
    chosen = [place] if isinstance(place, int) else list(place)
    for column in chosen:
        if isinstance(column, bool) or not isinstance(column, int):
            raise TypeError(
                f"'columns[{name!r}]' must be a column of 'x', a list of columns, or "
                f"the name of another tensor of the data (got {place!r})"
            )
        if not 0 <= column < x.size(1):
            raise ValueError(
                f"'columns[{name!r}]' must be from 0 to {x.size(1) - 1}, the columns "
                f"of 'x' (got {column})"
            )
    return x[:, place] if isinstance(place, int) else x[:, chosen]


def _features(data: Data) -> Tensor:
    x = data.get("x")
    if not isinstance(x, Tensor) or x.dim() != 2:
        shape = getattr(x, "shape", None)
        got = type(x).__name__ if shape is None else f"shape {list(shape)}"
        raise ValueError(
            f"'x' must be a tensor of shape [N, F], a row an object (got {got})"
        )
    return x
