"""Which columns hold which attribute of objects, and objects as predicates see them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import torch
from torch import Tensor
from torch_geometric.data import Data

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


def attribute_table(data: Data, columns: Columns) -> dict[str, Tensor]:
    r"""Finds the values of each named attribute of the objects of a graph or batch.

    Args:
        data (Data): Objects :obj:`x` of shape :math:`[N, F]`.
        columns (dict or list of str): For each attribute its column of :obj:`x`, a
            list of columns, or the name of another tensor of :obj:`data` with a row an
            object, such as :obj:`"pos"`. Or the name of each column of :obj:`x`, where
            :obj:`"color=red"`, :obj:`"color=blue"` are the columns of one attribute
            :obj:`"color"`, and :obj:`"at.x"`, :obj:`"at.y"` (or :obj:`"at[0]"`,
            :obj:`"at[1]"`) those of :obj:`"at"`. What :obj:`"at.known"` denies and
            the category of :obj:`"color=<unseen>"` are unknown, NaN.

    Returns:
        dict: For each attribute :math:`[N]`, or :math:`[N, C]` for a list of columns.
        Integers and booleans become :obj:`int64`, so that differences have a sign.

    Raises:
        ValueError: If there is no such column or tensor, or names do not fit
            :obj:`x`.
        TypeError: If a column is neither a number nor a list of them nor a name.
    """
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
