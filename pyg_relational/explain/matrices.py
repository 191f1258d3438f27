"""From one number a pair to one matrix a graph."""

import torch
from torch import Tensor


def to_matrices(
    edge_index: Tensor, weight: Tensor, target_ptr: Tensor, source_ptr: Tensor
) -> list[Tensor]:
    r"""Sorts the weights of edges into one matrix for each graph of a batch.

    Args:
        edge_index (torch.Tensor): Sources and targets, shape :math:`[2, E]`.
        weight (torch.Tensor): Weights, shape :math:`[E, K]`.
        target_ptr (torch.Tensor): Boundaries of the graphs among the targets,
            :math:`[B + 1]`.
        source_ptr (torch.Tensor): Boundaries of the graphs among the sources,
            :math:`[B + 1]`.

    Returns:
        list[torch.Tensor]: For each graph :math:`[K, n, m]`: rows are targets, columns
        are sources, zero where there is no edge; parallel edges add up.
    """
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
