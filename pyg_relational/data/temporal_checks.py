"""What a temporal graph has to fulfil; each check names the argument that does not."""

from typing import Any

import torch
from torch import Tensor


def check_values(x: Any, mask: Any) -> None:
    """Raises a `ValueError` unless `x` is `[N, T, F]` and `mask` says of each node and
    frame whether it is observed.

    Args:
        x (Any): Features of each node at each frame.
        mask (Any): Whether a node is observed at a frame.
    """
    if not isinstance(x, Tensor) or x.dim() != 3:
        raise ValueError(
            f"'x' must be a tensor of shape [N, T, F] (got {described(x)})"
        )
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"'mask' must be a tensor of dtype bool (got {kind})")
    if mask.shape != x.shape[:2]:
        raise ValueError(
            f"'mask' must say of each node and frame whether it is observed, shape "
            f"{list(x.shape[:2])} (got {list(mask.shape)})"
        )


def check_ids(node_id: Any, nodes: int, batch: Tensor | None = None) -> None:
    """Raises a `ValueError` unless each node has an id that no other one of its graph
    has.

    Args:
        node_id (Any): The ids.
        nodes (int): The number of nodes.
        batch (Tensor, optional): The graph of each node. (default: `None`)
    """
    if not isinstance(node_id, Tensor) or node_id.shape != (nodes,):
        raise ValueError(
            f"'node_id' must be a tensor with one id for each of {nodes} nodes (got "
            f"{described(node_id)})"
        )
    graph = torch.zeros_like(node_id) if batch is None else batch
    pairs, count = torch.stack([graph, node_id]).unique(dim=1, return_counts=True)
    if bool((count > 1).any()):
        first = int((count > 1).nonzero()[0])
        raise ValueError(
            f"'node_id' must not repeat: a node has one row in 'x' (got id "
            f"{pairs[1, first].item()} {int(count[first])} times)"
        )


def check_edges(
    edge_index: Any,
    edge_time: Any,
    edge_attr: Any,
    mask: Tensor,
    frames: Tensor | None = None,
) -> None:
    """Raises a `ValueError` unless edges join nodes of the graph, and edges with a time
    nodes that are observed at it.

    Args:
        edge_index (Any): The edges, `[2, E]`.
        edge_time (Any): The frame of each edge, `[E]`.
        edge_attr (Any): Features of edges, `[E, *]`.
        mask (Tensor): Whether a node is observed at a frame, `[N, T]`.
        frames (Tensor, optional): The number of frames of each node's graph, `[N]`; `T`
            by default. (default: `None`)
    """
    named = {"edge_time": edge_time, "edge_attr": edge_attr}
    if edge_index is None:
        for name, value in named.items():
            if value is not None:
                raise ValueError(f"'{name}' needs 'edge_index', the edges it is of")
        return
    if not isinstance(edge_index, Tensor) or edge_index.dim() != 2:
        raise ValueError(
            f"'edge_index' must be a tensor of shape [2, E] (got "
            f"{described(edge_index)})"
        )
    if edge_index.size(0) != 2:
        raise ValueError(
            f"'edge_index' must have shape [2, E] (got {list(edge_index.shape)})"
        )
    _check_range("edge_index", edge_index, mask.size(0), "nodes")
    for name, value in named.items():
        rows = value.shape[:1] if isinstance(value, Tensor) else None
        if value is not None and rows != edge_index.shape[1:]:
            raise ValueError(
                f"'{name}' must be a tensor with a row for each of "
                f"{edge_index.size(1)} edges (got {described(value)})"
            )
    if edge_time is not None:
        _check_times(edge_index, edge_time, mask, frames)


def _check_times(
    edge_index: Tensor, edge_time: Tensor, mask: Tensor, frames: Tensor | None
) -> None:
    if edge_time.dim() != 1:
        raise ValueError(
            f"'edge_time' must have shape [E] (got {list(edge_time.shape)})"
        )
    size: int | Tensor = mask.size(1)
    if frames is not None:
        size = frames[edge_index[0]]
    _check_range("edge_time", edge_time, size, "frames")
    absent = ~mask[edge_index, edge_time]
    if bool(absent.any()):
        end, edge = absent.nonzero()[0].tolist()
        raise ValueError(
            f"'edge_index' must join nodes that are observed at the frame of the edge "
            f"(got edge {edge} at frame {int(edge_time[edge])}, where node "
            f"{int(edge_index[end, edge])} is absent); leave the edge out, or set "
            f"'mask' there"
        )


def _check_range(name: str, value: Tensor, size: int | Tensor, what: str) -> None:
    if value.dtype != torch.long:
        raise ValueError(f"'{name}' must be of dtype int64 (got {value.dtype})")
    outside = (value < 0) | (value >= size)
    if bool(outside.any()):
        size = int(torch.as_tensor(size).expand_as(value)[outside][0])
        raise ValueError(
            f"'{name}' must name one of {size} {what}, counted from 0 (got "
            f"{int(value[outside][0])})"
        )


def described(value: Any) -> str:
    """Returns the shape of a value, or its type where it has none."""
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"shape {list(shape)}"
