from typing import Any

from torch import Tensor

from pyg_relational.loader.segments import Chosen, Segments


class StoredList:
    """An attribute that is one text or other object for each graph of a dataset.

    Args:
        name (str): Its name.
        values (list): The object of each graph, `[G]`.
        segments (Segments): One row for each graph.
    """

    increments = None

    def __init__(self, name: str, values: list[Any], segments: Segments) -> None:
        self.name = name
        self.segments = segments
        self._values = values

    def shifts(self, numbers: Tensor, nodes: Chosen | None) -> None:
        """Returns nothing: there is nothing to add."""

    def take(self, chosen: Chosen, shifts: None) -> list[Any]:
        """Returns the objects of the graphs of a batch, in their order.

        Args:
            chosen (Chosen): Their segments.
            shifts (None): Nothing.
        """
        return [self._values[number] for number in chosen.numbers.tolist()]
