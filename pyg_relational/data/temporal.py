"""Graphs that change over time, one by one, in batches and as dense series."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.data.data import size_repr
from torch_geometric.data.storage import GlobalStorage
from torch_geometric.data.view import ItemsView, KeysView, ValuesView

from pyg_relational.ops import (
    batch_to_ptr,
    fully_connected_edges,
    gather_sets,
    to_dense,
)

# What is seen as [N, T, *] and kept as [N * T, *], so that graphs of any length batch.
ROWS = {"x": "x_steps", "mask": "mask_steps"}
# Without these, nobody knows which node and frame a row is of.
KEPT = ("x_steps", "mask_steps", "num_frames", "node_id")


class TemporalGraph(Data):
    r"""A graph whose nodes are observed at several frames: they come, stay away for a
    while and leave, and edges may change with each frame.

    Graphs of different numbers of nodes and of frames form batches as any PyG data
    does, in a :class:`torch_geometric.loader.DataLoader` or by
    :meth:`torch_geometric.data.Batch.from_data_list`, and come out of them unchanged.
    In a batch, :attr:`x` and :attr:`mask` are as long as its longest graph, zero and
    :obj:`False` after the end of shorter ones. As everywhere in PyG, the graphs of a
    batch must have the same attributes: either all of them have :obj:`edge_index` or
    none.

    A static edge (no :obj:`edge_time`) is there in every frame that both of its ends
    are in; an edge with a time in that frame alone. Without :obj:`edge_index`, all
    nodes of a frame are meant. A frame may be empty: nothing is observed in it, and
    what a model carries over from frame to frame stays as it is. The features of an
    absent node are never read and may be :obj:`NaN`.

    Values are kept as one row for each node and frame, node by node, in
    :obj:`x_steps` :math:`[N \cdot T, F]` and :obj:`mask_steps` :math:`[N \cdot T]`,
    beside :obj:`num_frames` :math:`[1]`; these names, in place of :obj:`x` and
    :obj:`mask`, give the same graph. :attr:`x` and :attr:`mask` are views: assign to
    them, do not write into them. Attributes whose names begin with :obj:`frame_` have
    one row for each frame, such as :obj:`frame_time`; those with one row for each
    node or edge are told by their length, as in PyG.

    PyG's transforms of nodes and static edges work. Those that merge edges between the
    same nodes, as :class:`torch_geometric.transforms.ToUndirected` does, know nothing
    of :obj:`edge_time` and are not for edges with times. To choose nodes, use
    :meth:`subgraph`.

    Args:
        x (torch.Tensor, optional): Features of each node at each frame,
            :math:`[N, T, F]`. (default: :obj:`None`)
        mask (torch.Tensor, optional): Whether a node is observed at a frame,
            :math:`[N, T]`; always by default. (default: :obj:`None`)
        edge_index (torch.Tensor, optional): Edges, :math:`[2, E]`.
            (default: :obj:`None`)
        edge_time (torch.Tensor, optional): The frame of each edge, :math:`[E]`; all of
            them by default. (default: :obj:`None`)
        edge_attr (torch.Tensor, optional): Features of edges, :math:`[E, D]`.
            (default: :obj:`None`)
        y (torch.Tensor, optional): Targets, of any first dimension PyG can batch.
            (default: :obj:`None`)
        node_id (torch.Tensor, optional): What a node is called elsewhere, such as the
            number of a person, :math:`[N]`; :math:`0, 1, \ldots` by default.
            (default: :obj:`None`)
        **kwargs (optional): Further attributes.

    Raises:
        ValueError: If shapes do not fit, a node number or a time is out of range, ids
            repeat, an edge has a time at which one of its ends is absent, or only some
            of the names by which values are kept are given.

    Example:
        >>> x = torch.randn(3, 8, 2)  # 3 people, 8 frames, positions
        >>> mask = torch.ones(3, 8, dtype=torch.bool)
        >>> mask[2, :5] = False  # the third one enters late
        >>> TemporalGraph(x, mask, y=torch.tensor([1]))
        TemporalGraph(x=[3, 8, 2], mask=[3, 8], node_id=[3], y=[1])
    """

    def __init__(
        self,
        x: Tensor | None = None,
        mask: Tensor | None = None,
        edge_index: Tensor | None = None,
        edge_time: Tensor | None = None,
        edge_attr: Tensor | None = None,
        y: Tensor | None = None,
        node_id: Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.__dict__["_store"] = TemporalStorage(_parent=self)
        if x is not None:
            values = _rows(x, mask, node_id, kwargs)
            nodes = values["mask_steps"].view(x.shape[:2])
            _check_edges(edge_index, edge_time, edge_attr, nodes)
        elif mask is not None:
            raise ValueError("'mask' needs 'x', the features that it is the mask of")
        else:
            values = {} if node_id is None else {"node_id": node_id}
            _check_kept({**values, **kwargs})
        given = {
            **values,
            "edge_index": edge_index,
            "edge_time": edge_time,
            "edge_attr": edge_attr,
            "y": y,
            **kwargs,
        }
        for name, value in given.items():
            if value is not None:
                setattr(self, name, value)

    @property
    def mask(self) -> Tensor | None:
        r"""Whether each node is observed at each frame, :math:`[N, T]`."""
        return self._store.get("mask")

    @mask.setter
    def mask(self, value: Tensor) -> None:
        self._store["mask"] = value

    def get(self, key: str, default: Any = None) -> Any:
        r"""Returns an attribute, :attr:`x` and :attr:`mask` included."""
        return self._store.get(key, default)

    def subgraph(self, subset: Tensor) -> "TemporalGraph":
        r"""Returns the graph of some of the nodes, with all of their frames.

        Args:
            subset (torch.Tensor): The numbers of the nodes to keep, or of each node
                whether to keep it.
        """
        out = super().subgraph(subset)
        index = subset.nonzero().flatten() if subset.dtype == torch.bool else subset
        ends = self._store.frames_of_nodes().cumsum(0)
        chosen, _ = gather_sets(torch.cat([ends.new_zeros(1), ends]), index)
        for name in ROWS.values():
            out[name] = self[name][chosen]
        return out

    def validate(self, raise_on_error: bool = True) -> bool:
        r"""Checks what the constructor checks, of a batch as well.

        Args:
            raise_on_error (bool): Whether to raise an error; if :obj:`False`, to warn.
                (default: :obj:`True`)

        Raises:
            ValueError: If something does not fit.
        """
        status = super().validate(raise_on_error)
        if "x_steps" not in self:
            return status
        try:
            _check_values(self.x, self.mask)
            mask = self._store["mask"]
            _check_ids(self.node_id, mask.size(0), self.get("batch"))
            index, time = self.edge_index, self.get("edge_time")
            frames = self._store.frames_of_nodes()
            _check_edges(index, time, self.edge_attr, mask, frames)
        except ValueError as error:
            if raise_on_error:
                raise
            warnings.warn(str(error), stacklevel=2)
            return False
        return status

    def __contains__(self, key: str) -> bool:
        return key in self._store

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        # PyG takes the last graph with a node for the last graph.
        if key == "batch" or key.endswith("_batch"):
            return self._store["num_frames"].numel()
        return super().__inc__(key, value, *args, **kwargs)

    def __repr__(self) -> str:
        try:
            shown = {name: self[name] for name in ROWS if name in self}
        except ValueError:  # Printing what is broken must not break.
            shown = {}
        hidden = (*ROWS.values(), "num_frames") if shown else ()
        shown |= {k: v for k, v in self._store.items() if k not in hidden}
        parts = [size_repr(name, value) for name, value in shown.items()]
        return f"{self.__class__.__name__}({', '.join(parts)})"


# So that `InMemoryDataset.save` and `load` need no trust in the file.
torch.serialization.add_safe_globals([TemporalGraph])


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


def _rows(
    x: Any, mask: Any, node_id: Any, further: dict[str, Any]
) -> dict[str, Tensor]:
    """Returns the values as they are kept."""
    for name in KEPT:
        if name in further:
            raise ValueError(f"'{name}' is made from 'x'; give one of them")
    if mask is None and isinstance(x, Tensor):
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    _check_values(x, mask)
    nodes, frames = mask.shape
    if node_id is None:
        node_id = torch.arange(nodes, device=x.device)
    _check_ids(node_id, nodes)
    return {
        "x_steps": x.flatten(0, 1),
        "mask_steps": mask.flatten(),
        "num_frames": torch.tensor([frames], device=x.device),
        "node_id": node_id,
    }


def _check_kept(given: dict[str, Any]) -> None:
    missing = [name for name in KEPT if given.get(name) is None]
    named = [name for name in KEPT[:3] if given.get(name) is not None]
    if named and missing:
        raise ValueError(
            f"'{named[0]}' needs '{missing[0]}': a graph keeps {', '.join(KEPT)} "
            f"together"
        )
    if not named:
        return
    rows, mask = given["x_steps"].size(0), given["mask_steps"].size(0)
    if rows != mask:
        raise ValueError(
            f"'mask_steps' must have an entry for each of {rows} rows of 'x_steps' "
            f"(got {mask})"
        )
    frames, nodes = given["num_frames"], given["node_id"].size(0)
    if frames.numel() == 1 and rows != nodes * int(frames):
        raise ValueError(
            f"'x_steps' must have one row for each of {nodes} nodes and "
            f"{int(frames)} frames (got {rows})"
        )


def _check_values(x: Any, mask: Any) -> None:
    """Raises a `ValueError` unless `x` is `[N, T, F]` and `mask` says of each node and
    frame whether it is observed."""
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


def _check_ids(node_id: Any, nodes: int, batch: Tensor | None = None) -> None:
    """Raises a `ValueError` unless each node has an id that no other one of its graph
    has."""
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


def _check_edges(
    edge_index: Any,
    edge_time: Any,
    edge_attr: Any,
    mask: Tensor,
    frames: Tensor | None = None,
) -> None:
    """Raises a `ValueError` unless edges join nodes of the graph, and edges with a time
    nodes that are observed at it."""
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


def values_of(graph: TemporalGraph, name: str) -> tuple[Tensor, Tensor]:
    """Returns `x` and `mask`; raises a `ValueError` where there are none."""
    x, mask = graph.x, graph.mask
    if x is None or mask is None:
        raise ValueError(f"'{name}' must have 'x' (got a graph without features)")
    return x, mask


def values_of_one(graph: TemporalGraph) -> tuple[Tensor, Tensor]:
    """Returns `x` and `mask`; raises a `ValueError` unless it is one graph."""
    if isinstance(graph, Batch):
        raise ValueError(
            "'graph' must be one graph (got a batch); use 'batch.to_data_list()'"
        )
    return values_of(graph, "graph")


def node_ptr(graph: TemporalGraph) -> Tensor:
    """Returns where the nodes of each graph of a batch begin and end, `[B + 1]`."""
    nodes = graph.get("batch")
    if nodes is None:
        size = graph.node_id.size(0)
        return torch.tensor([0, size], device=graph.node_id.device)
    return batch_to_ptr(nodes, graph["num_frames"].numel())


def from_dense_series(
    x: Tensor, mask: Tensor | None = None, **targets: Tensor | Sequence[Any]
) -> list[TemporalGraph]:
    r"""Splits a dense batch of series into graphs, one a sample.

    Frames after the last one with an observed node, and nodes that are never
    observed, are padding and are left out; :obj:`node_id` is the place of a node in
    the dense batch. A frame between others that nothing is observed in stays, empty.

    Args:
        x (torch.Tensor): Features, :math:`[B, T, N, F]`.
        mask (torch.Tensor, optional): Whether a node is observed,
            :math:`[B, T, N]`; always by default. (default: :obj:`None`)
        **targets (torch.Tensor or sequence): Further attributes with one entry a
            sample, such as :obj:`y`.

    Raises:
        ValueError: If shapes do not fit.
    """
    if not isinstance(x, Tensor) or x.dim() != 4:
        raise ValueError(
            f"'x' must be a tensor of shape [B, T, N, F] (got {described(x)})"
        )
    if mask is None:
        mask = torch.ones(x.shape[:3], dtype=torch.bool, device=x.device)
    if mask.shape != x.shape[:3] or mask.dtype != torch.bool:
        raise ValueError(
            f"'mask' must be boolean of shape {list(x.shape[:3])} (got shape "
            f"{list(mask.shape)}, dtype {mask.dtype})"
        )
    for name, value in targets.items():
        if len(value) != x.size(0):
            raise ValueError(
                f"'{name}' must have one entry for each of {x.size(0)} samples (got "
                f"{len(value)})"
            )
    graphs = []
    for sample in range(x.size(0)):
        there = mask[sample]
        nodes = there.any(dim=0).nonzero().flatten()
        frames = there.any(dim=1).nonzero().flatten()
        length = int(frames[-1]) + 1 if frames.numel() else 0
        own = {name: value[sample] for name, value in targets.items()}
        graphs.append(
            TemporalGraph(
                # [T, N, F] -> [N, T, F]
                x[sample, :length, nodes].transpose(0, 1),
                there[:length, nodes].t(),
                node_id=nodes,
                **{k: v[None] if isinstance(v, Tensor) else v for k, v in own.items()},
            )
        )
    return graphs


def to_dense_series(batch: TemporalGraph) -> tuple[Tensor, Tensor]:
    r"""Pads the graphs of a batch to one dense batch of series; the inverse of
    :func:`from_dense_series` where padding comes last.

    Edges and targets are not part of it.

    Args:
        batch (TemporalGraph): A batch of graphs, or one graph.

    Returns:
        (torch.Tensor, torch.Tensor): Features :math:`[B, T, N, F]`, zero where padded,
        and :math:`[B, T, N]`, whether a node is observed.
    """
    x, mask = values_of(batch, "batch")
    ptr = node_ptr(batch)
    dense, _ = to_dense(x, ptr=ptr)
    observed, _ = to_dense(mask, ptr=ptr, fill_value=False)
    # [B, N, T, *] -> [B, T, N, *]
    return dense.transpose(1, 2), observed.transpose(1, 2)


def frame_distances(
    batch: TemporalGraph, columns: Sequence[int], scale: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Returns all pairs of different nodes of a graph that are in a frame together, as
    edges :math:`[2, E]`, their frames :math:`[E]` and their distances
    :math:`[E, 1]` there.

    Args:
        batch (TemporalGraph): A batch of graphs, or one graph.
        columns (list of int): The columns of :obj:`x` that hold the position.
        scale (float): The unit of length. (default: :obj:`1.0`)
    """
    x, mask = batch["x"], batch["mask"]
    pairs = fully_connected_edges(ptr=node_ptr(batch), self_pairs=False)
    pair, time = mask[pairs].all(dim=0).nonzero(as_tuple=True)
    edge_index = pairs[:, pair]
    position = x[..., list(columns)]
    apart = position[edge_index[1], time] - position[edge_index[0], time]
    return edge_index, time, apart.norm(dim=-1, keepdim=True) / scale
