"""Graphs that change over time."""

import warnings
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.data import size_repr

from pyg_relational.data.temporal_checks import check_edges, check_ids, check_values
from pyg_relational.data.temporal_storage import KEPT, ROWS, TemporalStorage
from pyg_relational.ops import gather_sets


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
            check_edges(edge_index, edge_time, edge_attr, nodes)
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
            check_values(self.x, self.mask)
            mask = self._store["mask"]
            check_ids(self.node_id, mask.size(0), self.get("batch"))
            index, time = self.edge_index, self.get("edge_time")
            frames = self._store.frames_of_nodes()
            check_edges(index, time, self.edge_attr, mask, frames)
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


def _rows(
    x: Any, mask: Any, node_id: Any, further: dict[str, Any]
) -> dict[str, Tensor]:
    """Returns the values as they are kept."""
    for name in KEPT:
        if name in further:
            raise ValueError(f"'{name}' is made from 'x'; give one of them")
    if mask is None and isinstance(x, Tensor):
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    check_values(x, mask)
    nodes, frames = mask.shape
    if node_id is None:
        node_id = torch.arange(nodes, device=x.device)
    check_ids(node_id, nodes)
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
