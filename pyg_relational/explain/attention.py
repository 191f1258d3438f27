"""The attention of every layer of a model, as matrices."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from pyg_relational.nn.checks import forward_arguments
from pyg_relational.ops import batch_to_ptr

_ASK = "return_attention_weights"


def attention_matrix(
    model: nn.Module, data: Data, **kwargs: Any
) -> dict[str, list[Tensor]]:
    r"""Runs a model on a graph or a batch and returns the weights of every attention
    layer inside it, one matrix for each graph.

    A layer counts if its :meth:`forward` takes :obj:`return_attention_weights`: those
    of this package, and PyG's :class:`~torch_geometric.nn.GATConv`,
    :class:`~torch_geometric.nn.GATv2Conv` and
    :class:`~torch_geometric.nn.TransformerConv`. The model runs in evaluation mode,
    without gradients; nothing is left behind in it.

    Args:
        model (torch.nn.Module): The model, or a layer.
        data (Data): A graph or a batch; the model is called with the attributes that
            its :meth:`forward` names.
        **kwargs (optional): Further arguments of the model.

    Returns:
        dict[str, list[torch.Tensor]]: For the name of each layer, in the order in
        which they run: for each graph (for each question, where a graph is asked
        several) the weights :math:`[K, n_i, n_j]` of :math:`K` heads. Rows are targets
        and sum to one; zero where there is no edge. A layer that runs several times
        is numbered: :obj:`"conv"`, :obj:`"conv/1"`.

    Raises:
        ValueError: If no layer of the model has attention weights.
    """
    layers = dict(_attention_layers(model))
    if not layers:
        raise ValueError(
            f"'model' has no layer with attention weights (got "
            f"{type(model).__name__}); use one with RelationAttentionConv, "
            f"RelationAttentionAggregation or PyG's GATConv, or "
            f"explain.pair_attribution, which needs none"
        )
    batch = data.get("batch")
    num_graphs = getattr(data, "num_graphs", 1)
    found: dict[str, list[Tensor]] = {}

    def keep(name: str, call: inspect.BoundArguments, weights: Any) -> None:
        edge_index, alpha = weights
        if not isinstance(edge_index, Tensor):
            raise TypeError(
                f"layer '{name}' got its edges as {type(edge_index).__name__}; pass "
                f"'edge_index' as a tensor [2, E]"
            )
        x = call.arguments["x"]
        sources, targets = x if isinstance(x, tuple) else (x, x)
        own = call.arguments.get("batch", call.arguments.get("index", batch))
        left, right = own if isinstance(own, tuple) else (own, own)
        pointers = [
            _pointer(name, call, rows, index, batch, num_graphs)
            for rows, index in ((targets, right), (sources, left))
        ]
        # [E] or [E, K] -> [E, K]
        alpha = alpha.detach().view(alpha.size(0), -1)
        key, number = name, 0
        while key in found:
            number += 1
            key = f"{name}/{number}"
        found[key] = to_matrices(edge_index, alpha, *pointers)

    with evaluating(model), _listening(layers, keep), torch.no_grad():
        model(**forward_arguments(model, data), **kwargs)
    return found


def to_matrices(
    edge_index: Tensor, weight: Tensor, target_ptr: Tensor, source_ptr: Tensor
) -> list[Tensor]:
    r"""Sorts the weights of edges into one matrix for each graph of a batch."""
    source, target = edge_index
    graph = torch.bucketize(target.contiguous(), target_ptr[1:], right=True)
    matrices = []
    n, m = target_ptr.diff().tolist(), source_ptr.diff().tolist()
    for g, (rows, columns) in enumerate(zip(n, m, strict=True)):
        mine = graph == g
        place = (target[mine] - target_ptr[g], source[mine] - source_ptr[g])
        matrix = weight.new_zeros(rows, columns, weight.size(1))
        matrix.index_put_(place, weight[mine], accumulate=True)
        # [n, m, K] -> [K, n, m]
        matrices.append(matrix.permute(2, 0, 1))
    return matrices


def _attention_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The innermost modules that can return their weights."""
    for name, module in model.named_modules():
        inside = (m for m in module.modules() if m is not module)
        if _can_tell(module) and not any(map(_can_tell, inside)):
            yield name or type(module).__name__, module


def _can_tell(module: nn.Module) -> bool:
    return _ASK in inspect.signature(module.forward).parameters


def _pointer(
    name: str,
    call: inspect.BoundArguments,
    rows: Tensor,
    index: Tensor | None,
    batch: Tensor | None,
    num_graphs: int,
) -> Tensor:
    """The boundaries of the graphs among the rows that a layer was given."""
    if call.arguments.get("ptr") is not None:
        return call.arguments["ptr"]
    size = call.arguments.get("batch_size", call.arguments.get("dim_size"))
    if index is None and batch is not None and batch.numel() == rows.size(0):
        index = batch
    if index is None:
        return torch.tensor([0, rows.size(0)], device=rows.device)
    if index is batch:
        size = num_graphs
    return batch_to_ptr(index, size)


@contextmanager
def _listening(
    layers: dict[str, nn.Module],
    keep: Callable[[str, inspect.BoundArguments, Any], None],
) -> Iterator[None]:
    """Asks each layer again, after each call, for the weights of that call."""

    def listen(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            call = inspect.signature(module.forward).bind(*args, **kwargs)
            call.arguments[_ASK] = True
            # Not through __call__: this is no further run of the layer.
            _, weights = module.forward(*call.args, **call.kwargs)
            keep(name, call, weights)

        return hook

    handles = [
        layer.register_forward_hook(listen(name), with_kwargs=True)
        for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and each of its parts back as it was."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training
