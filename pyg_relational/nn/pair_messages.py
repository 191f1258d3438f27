"""What the pairs of a batch say, one row a pair."""

from typing import NamedTuple

from torch import Tensor


class PairMessages(NamedTuple):
    r"""What each pair adds to its set: the sum over a set's pairs is what a model's
    :attr:`readout` reads.

    Args:
        edge_index (torch.Tensor): Sources and targets of the pairs, :math:`[2, E]`.
        message (torch.Tensor): What each adds, :math:`[E, F]`.
        owner (torch.Tensor): The set (or question) of each pair, :math:`[E]`.
        ptr (torch.Tensor): Boundaries of the sets among the objects,
            :math:`[B + 1]`.
    """

    edge_index: Tensor
    message: Tensor
    owner: Tensor
    ptr: Tensor
