"""What models of sets share: one reader of sets."""

from abc import abstractmethod

from torch import Tensor

from pyg_relational.nn.composite import Composite
from pyg_relational.nn.sets import Sets


class SetModel(Composite):
    r"""A model that answers for sets of objects: an encoder reads the objects, a
    relation their pairs, and a readout what the relation says."""

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        u_batch: Tensor | None = None,
    ) -> Tensor:
        r"""Runs the forward pass; for the arguments see
        :class:`~pyg_relational.nn.Sets`."""
        return self.answer(
            Sets(x, edge_index, edge_attr, u, batch, batch_size, u_batch)
        )

    @abstractmethod
    def answer(self, sets: Sets) -> Tensor:
        r"""Returns an answer for each set, question or object."""
