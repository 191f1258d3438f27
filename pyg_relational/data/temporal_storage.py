"""Where a temporal graph keeps its values: one row for each node and frame."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data.storage import GlobalStorage
from torch_geometric.data.view import ItemsView, KeysView, ValuesView

# What is seen as [N, T, *] and kept as [N * T, *], so that graphs of any length batch.
ROWS = {"x": "x_steps", "mask": "mask_steps"}
# Without these, nobody knows which node and frame a row is of.
KEPT = ("x_steps", "mask_steps", "num_frames", "node_id")


class TemporalStorage(GlobalStorage):
    """Attributes of one temporal graph or of a batch of them.

    `x` and `mask` are views: read, they are built from the rows; written, they are
    taken apart. PyG's own transforms and methods go through here and cannot mistake
    the rows for attributes of nodes or edges, whatever their number.
    """

    def __getitem__(self, key: str) -> Any:
        if key not in ROWS:
            return super().__getitem__(key)
        rows = super().__getitem__(ROWS[key])
        frames, longest = self._measure(rows)
        shape = (frames.numel(), longest, *rows.shape[1:])
        if rows.size(0) == shape[0] * shape[1]:
            return rows.view(shape)
        dense = rows.new_zeros(shape)
        dense[_inside(frames, longest)] = rows
        return dense

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in ROWS:
            super().__setitem__(key, value)
            return
        if "num_frames" not in self._mapping:
            raise ValueError(
                f"'{key}' cannot be assigned, the graph has no 'x' yet; build it with "
                f"'TemporalGraph(x=x, mask=mask)'"
            )
        if value is None:
            raise ValueError(
                f"'{key}' must stay: build a graph with what is to be left"
            )
        frames, longest = self._measure(self._mapping[ROWS[key]])
        if key == "mask" and value.dtype != torch.bool:
            raise ValueError(f"'mask' must be of dtype bool (got {value.dtype})")
        if value.shape[:2] != (frames.numel(), longest):
            raise ValueError(
                f"'{key}' must have one row for each of {frames.numel()} nodes and "
                f"{longest} frames (got shape {list(value.shape)})"
            )
        super().__setitem__(ROWS[key], value[_inside(frames, longest)])

    def __contains__(self, key: object) -> bool:
        if key in ROWS:
            return ROWS[str(key)] in self._mapping and self._is_complete()
        return key in self._mapping

    def __delitem__(self, key: str) -> None:
        if key in ROWS:
            self[key] = None
        super().__delitem__(key)

    def get(self, key: str, value: Any | None = None) -> Any:
        """Returns an attribute, or `value` where it is missing."""
        if key in ROWS:
            return self[key] if key in self else value  # noqa: SIM401
        return super().get(key, value)

    def keys(self, *args: str) -> KeysView:
        """Returns the names of all attributes, or of those named."""
        return KeysView(self._mapping, *_flat(args))

    def values(self, *args: str) -> ValuesView:
        """Returns all attributes, or those named."""
        return ValuesView(self._mapping, *_flat(args))

    def items(self, *args: str) -> ItemsView:
        """Returns names and attributes, of all or of those named."""
        return ItemsView(self._mapping, *_flat(args))

    @property
    def num_node_features(self) -> int:
        """The number of features of a node at a frame."""
        rows = self._mapping.get("x_steps")
        return 0 if rows is None else rows.size(-1)

    def is_node_attr(self, key: str) -> bool:
        """Returns whether an attribute has one row for each node."""
        return not _is_of_frames(key) and super().is_node_attr(key)

    def is_edge_attr(self, key: str) -> bool:
        """Returns whether an attribute has one row for each edge."""
        return not _is_of_frames(key) and super().is_edge_attr(key)

    def coalesce(self, reduce: str = "sum") -> "TemporalStorage":
        """Merges edges between the same nodes, unless they have times."""
        if "edge_time" in self._mapping:
            raise ValueError(
                "'edge_time' is set: edges between the same nodes at different frames "
                "are different edges and cannot be merged"
            )
        return super().coalesce(reduce)

    def frames_of_nodes(self) -> Tensor:
        """Returns the number of frames of each node's graph, `[N]`."""
        missing = [name for name in KEPT[2:] if name not in self._mapping]
        if missing:
            raise ValueError(
                f"'{missing[0]}' is missing, without which rows belong to no node; "
                f"leave it out of 'exclude_keys'"
            )
        frames = self._mapping["num_frames"]
        if frames.numel() == 1:
            return frames.expand(self._mapping["node_id"].size(0))
        if "batch" not in self._mapping:
            raise ValueError(
                f"'x' and 'mask' of {frames.numel()} graphs that are stored one after "
                f"another cannot be told apart; take a graph, 'dataset[i]', or make a "
                f"batch of them"
            )
        return frames[self._mapping["batch"]]

    def _is_complete(self) -> bool:
        frames = self._mapping.get("num_frames")
        if frames is None or "node_id" not in self._mapping:
            return False
        return frames.numel() == 1 or "batch" in self._mapping

    def _measure(self, rows: Tensor) -> tuple[Tensor, int]:
        """Returns the number of frames of each node and that of the longest graph."""
        frames = self.frames_of_nodes()
        # Of graphs without nodes, the number of frames still counts.
        longest = self._mapping["num_frames"].max()
        # Read together: on an accelerator each reading waits.
        total, size = torch.stack([frames.sum(), longest]).tolist()
        if rows.size(0) != total:
            raise ValueError(
                f"'x' and 'mask' must have one row for each node and frame, {total} "
                f"(got {rows.size(0)}); nodes were chosen without their frames: use "
                f"'graph.subgraph(nodes)'"
            )
        return frames, size


def _flat(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(ROWS.get(name, name) for name in names)


def _inside(frames: Tensor, longest: int) -> Tensor:
    """Where a padded row is of a frame that its graph has, `[N, longest]`."""
    return torch.arange(longest, device=frames.device) < frames.unsqueeze(1)


def _is_of_frames(key: str) -> bool:
    return key in (*ROWS.values(), "num_frames") or key.startswith("frame_")
