"""Means and deviations from parts of the values."""

import numpy as np
from numpy.typing import NDArray


class Moments:
    """Number, mean and squared deviations of columns, from parts of them."""

    def __init__(self, size: int) -> None:
        self.count = np.zeros(size)
        self.mean = np.zeros(size)
        self.square = np.zeros(size)

    @np.errstate(over="ignore", invalid="ignore")
    def add(self, rows: NDArray[np.float64]) -> None:
        """Adds rows, `[R, S]`; those that are not finite do not count."""
        part = Moments(rows.shape[1])
        finite = np.isfinite(rows)
        rows = np.where(finite, rows, 0.0)
        part.count = finite.sum(0).astype(np.float64)
        part.mean = rows.sum(0) / np.maximum(part.count, 1)
        part.square = (np.where(finite, rows - part.mean, 0.0) ** 2).sum(0)
        self.merge(part)

    @np.errstate(over="ignore", invalid="ignore")
    def merge(self, other: "Moments") -> None:
        """Adds what another part counted."""
        total = np.maximum(self.count + other.count, 1)
        change = other.mean - self.mean
        self.square += other.square + change**2 * self.count * other.count / total
        self.mean = self.mean + change * other.count / total
        self.count = self.count + other.count

    def scale(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns means and deviations; one for what is constant, zero and one for
        what overflows."""
        deviation = np.sqrt(self.square / np.maximum(self.count, 1))
        finite = np.isfinite(deviation) & np.isfinite(self.mean)
        mean = np.where(finite, self.mean, 0.0)
        deviation = np.where(finite & (deviation > 0), deviation, 1.0)
        return tuple(mean.tolist()), tuple(deviation.tolist())
