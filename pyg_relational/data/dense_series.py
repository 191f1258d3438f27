"""Temporal graphs from dense batches of series, and back."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.ops import batch_to_ptr, to_dense


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
        shape = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"'x' must be a tensor of shape [B, T, N, F] (got {shape})")
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
        own = {name: _entry(value[sample]) for name, value in targets.items()}
        graphs.append(_graph(x[sample], mask[sample], own))
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
    x, mask = batch.x, batch.mask
    if x is None or mask is None:
        raise ValueError("'batch' must have 'x' (got a graph without features)")
    nodes = batch.get("batch")
    if nodes is None:
        ptr = torch.tensor([0, x.size(0)], device=x.device)
    else:
        ptr = batch_to_ptr(nodes, batch["num_frames"].numel())
    dense, _ = to_dense(x, ptr)
    observed, _ = to_dense(mask, ptr, fill_value=False)
    # [B, N, T, *] -> [B, T, N, *]
    return dense.transpose(1, 2), observed.transpose(1, 2)


def _graph(x: Tensor, mask: Tensor, targets: dict[str, Any]) -> TemporalGraph:
    """Returns the graph of one sample, `x` of shape `[T, N, F]`."""
    nodes = mask.any(dim=0).nonzero().flatten()
    frames = mask.any(dim=1).nonzero().flatten()
    length = int(frames[-1]) + 1 if frames.numel() else 0
    return TemporalGraph(
        # [T, N, F] -> [N, T, F]
        x[:length, nodes].transpose(0, 1),
        mask[:length, nodes].t(),
        node_id=nodes,
        **targets,
    )


def _entry(value: Any) -> Any:
    return value.unsqueeze(0) if isinstance(value, Tensor) else value
