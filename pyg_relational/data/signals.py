"""Temporal graphs from the signals of PyTorch Geometric Temporal."""

import copy
from collections.abc import Iterable

from torch_geometric.data import Data

from pyg_relational.data.snapshot_parts import check_snapshot, edge_features
from pyg_relational.data.snapshots import from_snapshots
from pyg_relational.data.temporal import TemporalGraph


def from_signal(signal: Iterable[Data]) -> TemporalGraph:
    r"""Turns a signal of PyTorch Geometric Temporal, such as a
    :obj:`StaticGraphTemporalSignal` or a :obj:`DynamicGraphTemporalSignal`, into a
    temporal graph.

    Signals are told by what they have, so that package is not needed. A signal with
    one :obj:`edge_index` for all frames gives static edges, any other edges with
    times. Its targets, where there are any, are :obj:`y` of shape :math:`[N, T, *]`.
    To forecast the features of the next frames instead, use :func:`windows`.

    Args:
        signal (iterable of torch_geometric.data.Data): The signal.

    Raises:
        ValueError: As in :func:`from_snapshots`, or if the signal is heterogeneous.
    """
    frames = list(signal)
    if getattr(signal, "edge_index", None) is None:
        return from_snapshots(frames)
    bare = []
    for number, frame in enumerate(frames):
        check_snapshot(number, frame)
        bare.append(copy.copy(frame))
        for name in ("edge_index", "edge_attr", "edge_weight"):
            if name in bare[-1]:
                del bare[-1][name]
    out = from_snapshots(bare)
    out.edge_index = frames[0].edge_index
    features = edge_features(frames[0])
    if features is not None:
        out.edge_attr = features
    return out
