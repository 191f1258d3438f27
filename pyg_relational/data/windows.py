"""Samples for forecasting: what was seen, and the frames that followed."""

import copy

import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_relational.data.temporal import TemporalGraph


def windows(
    graph: TemporalGraph,
    history: int,
    horizon: int,
    stride: int = 1,
    target_channels: int | None = None,
) -> list[TemporalGraph]:
    r"""Cuts a temporal graph into samples of :obj:`history` frames, whose targets are
    the features of the :obj:`horizon` frames after them.

    Nothing but :obj:`y` and :obj:`y_mask` depends on later frames: a sample has the
    nodes that are observed in its history and no others, their features and mask, the
    edges of the history (those with a time renumbered, static ones between its nodes)
    and the part of attributes of frames that falls into it. Further attributes are
    kept, those of nodes and edges for the nodes and edges of the sample; they must
    not know the future.

    A history in which nothing is observed gives no sample. Empty frames among others
    stay.

    Args:
        graph (TemporalGraph): One graph, not a batch.
        history (int): The number of frames that a sample shows.
        horizon (int): The number of frames to forecast.
        stride (int): How many frames after one sample the next begins.
            (default: :obj:`1`)
        target_channels (int, optional): How many of the features, the first ones,
            are to be forecast; all by default. (default: :obj:`None`)

    Returns:
        list of TemporalGraph: Samples with :obj:`y` :math:`[N, horizon, F']`, zero
        where a node is absent, :obj:`y_mask` :math:`[N, horizon]`, and :obj:`start`
        :math:`[1]`, the first frame of the sample.

    Raises:
        ValueError: If the graph has fewer frames than a sample needs, a number is
            smaller than 1, or a batch is given.
    """
    given = {"history": history, "horizon": horizon, "stride": stride}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"'{name}' must be an integer of at least 1 (got {value})")
    if isinstance(graph, Batch):
        raise ValueError(
            "'graph' must be one graph (got a batch); use 'batch.to_data_list()'"
        )
    x, mask = graph.x, graph.mask
    if x is None or mask is None:
        raise ValueError("'graph' must have 'x' (got a graph without features)")
    channels = x.size(2) if target_channels is None else target_channels
    if not 1 <= channels <= x.size(2):
        raise ValueError(
            f"'target_channels' must be from 1 to {x.size(2)}, the number of features "
            f"(got {channels})"
        )
    length = x.size(1)
    if length < history + horizon:
        raise ValueError(
            f"'graph' must have at least {history + horizon} frames, {history} of "
            f"history and {horizon} of horizon (got a series of {length})"
        )
    samples = []
    for start in range(0, length - history - horizon + 1, stride):
        stop = start + history
        nodes = mask[:, start:stop].any(dim=1).nonzero().flatten()
        if not nodes.numel():
            continue
        sample = _between(graph, x, mask, start, stop).subgraph(nodes)
        seen = mask[nodes, stop : stop + horizon]
        future = x[nodes, stop : stop + horizon, :channels]
        sample.y = future.where(seen.unsqueeze(-1), torch.zeros_like(future))
        sample.y_mask = seen
        sample.start = torch.tensor([start], device=x.device)
        samples.append(sample)
    return samples


def _between(
    graph: TemporalGraph, x: Tensor, mask: Tensor, start: int, stop: int
) -> TemporalGraph:
    """Returns a graph of some of the frames."""
    out = copy.copy(graph)
    if "edge_time" in out:
        time = graph.edge_time
        out = out.edge_subgraph((time >= start) & (time < stop))
        out.edge_time = out.edge_time - start
    out.x_steps = x[:, start:stop].flatten(0, 1)
    out.mask_steps = mask[:, start:stop].flatten()
    out.num_frames = torch.tensor([stop - start], device=x.device)
    for name, value in graph:
        if name.startswith("frame_"):
            out[name] = value[start:stop]
    return out
