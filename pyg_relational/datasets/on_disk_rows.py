"""Graphs as rows of a table: a column for each attribute, without a loop over graphs.

A cell of a tensor is its bytes, rows of nodes, edges or the like first: an `edge_index`
`[2, E]` is stored as `[E, 2]`. So the cells of several graphs, one after the other, are
those of a batch, and the length of a cell tells how many rows a graph has.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.collate import collate

# As PyG's on-disk dataset takes it: a dtype and a size, or `int` for "num_nodes".
Schema = dict[str, Any]
Row = tuple[Any, ...]
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.float32,
        torch.float64,
    )
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def pack(data: Data, slices: Mapping[str, Tensor] | None) -> tuple[Schema, list[Row]]:
    """Returns the schema of graphs and a row for each.

    Args:
        data (Data): All graphs, one after the other, as `InMemoryDataset` keeps them.
        slices (Mapping[str, Tensor], optional): Where those of each attribute start
            and end; `None` for a single graph.

    Raises:
        ValueError: An attribute is no tensor of fixed size, or has no slices.
    """
    if type(data) is not Data:
        raise ValueError(f"graphs must be 'Data', not '{type(data).__name__}'")
    if slices is None:
        data, slices, _ = collate(Data, [data], increment=False, add_batch=False)
    if left := sorted({*data.keys()} - {*slices, "num_nodes"}):
        raise ValueError(f"'{left[0]}' has no slices, which cut it into graphs")
    schema: Schema = {}
    columns: list[list[Any]] = []
    for name in slices:
        rows = _rows(data, name)
        schema[name] = {"dtype": rows.dtype, "size": (-1, *rows.shape[1:])}
        content = rows.numpy().tobytes()
        ends = (slices[name] * row_bytes(schema[name])).tolist()
        columns.append([content[start:stop] for start, stop in pairwise(ends)])
    numbers = data._store.__dict__.get("_num_nodes")
    if numbers is not None:
        schema["num_nodes"] = int
        columns.append(numbers)
    _check_names(schema)
    return schema, list(zip(*columns, strict=True))


def row_bytes(column: Mapping[str, Any]) -> int:
    """Returns the bytes of one row of an attribute.

    Args:
        column (Mapping): Its entry in a schema.
    """
    return int(column["dtype"].itemsize * math.prod(column["size"][1:]))


def cat_dim(name: str) -> int:
    """Returns the dimension of the rows of an attribute in a graph.

    Args:
        name (str): Its name.
    """
    return int(Data().__cat_dim__(name, None))


def schema_to_json(schema: Schema) -> Any:
    """Returns a schema as lists and texts.

    Args:
        schema (dict): The schema.
    """
    return [
        [name, "int" if column is int else [NAMES[column["dtype"]], *column["size"]]]
        for name, column in schema.items()
    ]


def schema_from_json(content: Any) -> Schema:
    """Returns the schema that `schema_to_json` wrote.

    Args:
        content (Any): What it returned.

    Raises:
        ValueError: It is something else.
    """
    try:
        schema: Schema = {
            name: int
            if column == "int"
            else {"dtype": DTYPES[column[0]], "size": tuple(column[1:])}
            for name, column in content
        }
        _check_names(schema)
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"{content!r} is no schema") from error
    if not schema or schema_to_json(schema) != content:
        raise ValueError(f"{content!r} is no schema")
    for name, column in schema.items():
        if column is int and name == "num_nodes":
            continue
        size = () if column is int else column["size"]
        if size[:1] != (-1,) or not all(type(n) is int and n > 0 for n in size[1:]):
            raise ValueError(f"'{name}' has the size {size}")
    return schema


def _rows(data: Data, name: str) -> Tensor:
    value = data[name]
    dense = type(value) is Tensor and value.layout == torch.strided
    if not dense or value.dtype not in NAMES or value.is_nested or not value.dim():
        kind = value.dtype if type(value) is Tensor else type(value).__name__
        raise ValueError(
            f"'{name}' must be a dense tensor of one of the types {', '.join(DTYPES)}, "
            f"not '{kind}'"
        )
    rows = value.detach().cpu().movedim(cat_dim(name), 0).contiguous()
    if math.prod(rows.shape[1:]) == 0:
        raise ValueError(f"'{name}' has rows without a number: {list(value.shape)}")
    return rows


def _check_names(schema: Schema) -> None:
    for name in schema:
        if not name.isidentifier():
            raise ValueError(f"'{name}' cannot name a column; use letters and digits")
    if len({name.lower() for name in schema}) < len(schema):
        raise ValueError(
            f"the names of columns must differ in more than case: {', '.join(schema)}"
        )
