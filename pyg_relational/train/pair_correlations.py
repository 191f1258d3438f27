"""How alike two nodes of a temporal graph move."""

from typing import Any

import torch
from torch import Tensor

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.train.errors import UsageError


def pair_correlations(x: Tensor, mask: Tensor, pairs: Tensor) -> Tensor:
    r"""Return the correlation over time of each feature of two nodes.

    .. math::
        \rho_{ij,f} = \frac{\sum_t (x_{itf} - \bar{x}_{if}) (x_{jtf} - \bar{x}_{jf})}
        {\sqrt{\sum_t (x_{itf} - \bar{x}_{if})^2 \sum_t (x_{jtf} - \bar{x}_{jf})^2}}

    Sums and means are over the frames that both nodes are in. A feature that does not
    change in them correlates with nothing: 0.

    Args:
        x (torch.Tensor): Features of each node at each frame.
        mask (torch.Tensor): Whether a node is in a frame.
        pairs (torch.Tensor): Pairs of nodes.

    Shapes:
        - **x** :math:`(N, T, F)`, **mask** :math:`(N, T)`, **pairs** :math:`(2, P)`
        - **output** :math:`(P, F)`, in double precision
    """
    # [2, P, T, F]
    ends = x.double()[pairs]
    both = mask[pairs].all(dim=0)[..., None]
    # What is absent may not be a number.
    ends = torch.where(both, ends, 0.0)
    frames = both.sum(dim=1, keepdim=True)
    centred = torch.where(both, ends - ends.sum(dim=2, keepdim=True) / frames, 0.0)
    # [2, P, F]
    length = centred.norm(dim=2)
    # Of a constant, rounding may leave something.
    still = length <= 1e-9 * ends.norm(dim=2)
    product = (centred[0] * centred[1]).sum(dim=1)
    scale = torch.where(still, torch.inf, length).prod(dim=0)
    return product / scale


def pair_rows(sample: Any) -> Tensor:
    """Return the correlations of the pairs that a sample asks about.

    Args:
        sample (TemporalGraph): Holds ``edge_label_index`` and a class ``y`` for each
            of its pairs.

    Raises:
        UsageError: If the sample is something else.
    """
    pairs, y = sample.get("edge_label_index"), sample.get("y")
    if not isinstance(sample, TemporalGraph) or pairs is None or y is None:
        raise UsageError(
            "reference 'correlation' needs temporal graphs with 'edge_label_index' and "
            f"'y', got {type(sample).__name__} with {', '.join(sorted(sample.keys()))}"
        )
    if y.shape != pairs.shape[1:] or y.is_floating_point():
        raise UsageError(
            "reference 'correlation' needs one class y [P] for each pair of "
            f"edge_label_index [2, P], got y {list(y.shape)} of {y.dtype} and "
            f"{list(pairs.shape)}"
        )
    return pair_correlations(sample["x"], sample["mask"], pairs)
