"""The attributes that a transform needs."""

from typing import Any

from torch_geometric.data import Data


def required(data: Data, names: list[str], purpose: str, advice: str = "") -> list[Any]:
    """Returns attributes; raises a `ValueError` where one is missing."""
    values = [data.get(name) for name in names]
    if any(value is None for value in values):
        raise ValueError(
            f"{' and '.join(map(repr, names))} must be there to {purpose} (got "
            f"{', '.join(data.keys())})" + (f"; {advice}" if advice else "")
        )
    return values
