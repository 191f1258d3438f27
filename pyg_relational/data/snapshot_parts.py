"""What is read from snapshots, and what they have to fulfil together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.data.temporal_checks import described

IDS = ("node_id", "n_id")


def is_empty(snapshot: Data) -> bool:
    """Returns whether a snapshot has no nodes.

    Args:
        snapshot (Data): The snapshot.
    """
    x = snapshot.x
    if isinstance(x, Tensor) and x.dim() == 2:
        return x.size(0) == 0
    names = ("x", "edge_index", *IDS)
    return not any(name in snapshot for name in names) and not snapshot.get("num_nodes")


def check_snapshot(number: int, snapshot: Any) -> None:
    """Raises a `ValueError` unless a snapshot has features and edges that fit.

    Args:
        number (int): Its frame, for the message.
        snapshot (Any): The snapshot.
    """
    if not isinstance(snapshot, Data):
        raise ValueError(
            f"'snapshots' must be of torch_geometric.data.Data (got "
            f"{type(snapshot).__name__} at frame {number})"
        )
    x, edges = snapshot.x, snapshot.edge_index
    if is_empty(snapshot) and edges is None:
        return
    if not isinstance(x, Tensor) or x.dim() != 2:
        raise ValueError(
            f"'x' must have shape [N, F] in each snapshot (got "
            f"{'none' if x is None else described(x)} at frame {number})"
        )
    if edges is None:
        return
    if edges.dim() != 2 or edges.size(0) != 2:
        raise ValueError(
            f"'edge_index' must have shape [2, E] (got {list(edges.shape)} at frame "
            f"{number})"
        )
    outside = (edges < 0) | (edges >= x.size(0))
    if bool(outside.any()):
        raise ValueError(
            f"'edge_index' must join nodes of its snapshot (got node "
            f"{int(edges[outside][0])} of {x.size(0)} at frame {number})"
        )
    features = edge_features(snapshot)
    if features is not None and features.size(0) != edges.size(1):
        raise ValueError(
            f"'edge_attr' must have one row for each of {edges.size(1)} edges (got "
            f"{features.size(0)} at frame {number})"
        )


def check_times(times: Sequence[float] | Tensor, frames: int) -> Tensor:
    """Returns the times as a tensor; raises a `ValueError` unless they ascend.

    Args:
        times (Sequence[float] or Tensor): The time of each frame.
        frames (int): The number of frames.
    """
    out = torch.as_tensor(times)
    if out.shape != (frames,):
        raise ValueError(
            f"'times' must have one entry for each of {frames} frames (got "
            f"{described(out)})"
        )
    late = (~(out[1:] > out[:-1])).nonzero().flatten()
    if late.numel():
        frame = int(late[0]) + 1
        raise ValueError(
            f"frames out of order: 'times' must ascend (got {out[frame].item()} at "
            f"frame {frame} after {out[frame - 1].item()}); sort the snapshots"
        )
    return out


def read_ids(filled: Mapping[int, Data]) -> tuple[Tensor, Tensor]:
    """Returns the node of each row of all snapshots and the id of each node.

    Args:
        filled (Mapping[int, Data]): The snapshots that are not empty, by frame.

    Raises:
        ValueError: Only some have ids, ids do not fit the rows or repeat in a frame, or
            nodes without ids differ in number.
    """
    parts = []
    for name in IDS:
        if same_everywhere(filled, name):
            parts = [s[name] for s in filled.values()]
            break
    if not parts:
        return _ids_by_order(filled)
    for (frame, snapshot), part in zip(filled.items(), parts, strict=True):
        if not isinstance(part, Tensor) or part.shape != snapshot.x.shape[:1]:
            raise ValueError(
                f"'{name}' must be a tensor with one id for each of "
                f"{snapshot.x.size(0)} nodes (got {described(part)} at frame {frame})"
            )
        values, count = part.unique(return_counts=True)
        if bool((count > 1).any()):
            raise ValueError(
                f"'{name}' must not repeat in a frame (got id "
                f"{values[count > 1][0].item()} {int(count.max())} times at frame "
                f"{frame})"
            )
    ids, names = torch.cat(parts).unique(return_inverse=True)
    return names, ids


def _ids_by_order(filled: Mapping[int, Data]) -> tuple[Tensor, Tensor]:
    sizes = {frame: s.x.size(0) for frame, s in filled.items()}
    first, frame = next(iter(sizes)), max(sizes, key=lambda f: sizes[f])
    smallest = min(sizes, key=lambda f: sizes[f])
    if sizes[frame] != sizes[smallest]:
        other = frame if sizes[frame] != sizes[first] else smallest
        raise ValueError(
            f"'node_id' is needed where snapshots differ in their number of nodes (got "
            f"{sizes[first]} at frame {first} and {sizes[other]} at frame {other})"
        )
    ids = torch.arange(sizes[first], device=filled[first].x.device)
    return ids.repeat(len(sizes)), ids


def edge_features(snapshot: Data) -> Tensor | None:
    """Returns the features of a snapshot's edges, `[E, D]`, or its weights, `[E, 1]`.

    Args:
        snapshot (Data): The snapshot.
    """
    value = snapshot.get("edge_attr")
    value = snapshot.get("edge_weight") if value is None else value
    if value is None:
        return None
    return value.unsqueeze(-1) if value.dim() == 1 else value


def same_everywhere(
    filled: Mapping[int, Data], name: str, read: Callable[[Data], Any] | None = None
) -> bool:
    """Returns whether all snapshots have something; raises a `ValueError` where only
    some do.

    Args:
        filled (Mapping[int, Data]): The snapshots, by frame.
        name (str): The attribute.
        read (Callable[[Data], Any], optional): Returns it, `None` where it is missing;
            the attribute itself by default. (default: `None`)
    """
    found = {t: s.get(name) if read is None else read(s) for t, s in filled.items()}
    without = [frame for frame, value in found.items() if value is None]
    if without and len(without) < len(filled):
        raise ValueError(
            f"'{name}' must be in all snapshots or in none (got none at frame "
            f"{without[0]})"
        )
    return not without


def joined(parts: Sequence[Tensor], name: str) -> Tensor:
    """Returns the rows of all snapshots one after the other.

    Args:
        parts (Sequence[Tensor]): The rows of each snapshot.
        name (str): What they are called in the message.

    Raises:
        ValueError: They are not of the same width.
    """
    # What has no rows may have no width either.
    rows = [part for part in parts if part.size(0)] or list(parts[:1])
    widths = sorted({tuple(part.shape[1:]) for part in rows})
    if len(widths) > 1:
        raise ValueError(
            f"'{name}' must be as wide in all snapshots (got rows of shape "
            f"{list(widths[0])} and of {list(widths[1])})"
        )
    return torch.cat(rows)
