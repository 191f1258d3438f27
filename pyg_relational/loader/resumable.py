"""A loader whose epoch goes on where it was interrupted."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


class ResumableLoader:
    r"""Continues an epoch where it was interrupted: with the batches that were left,
    and with the random numbers that they would have met.

    Its state holds the random numbers of PyTorch (on the CPU and all GPUs), NumPy and
    Python at the beginning of the epoch, which decide its order, and at the moment.
    Continuing draws the order again and passes over the batches that were handed out.
    The state is made of tensors and plain values: :meth:`torch.load` with
    :obj:`weights_only=True` reads it.

    Args:
        loader (iterable): Yields the batches of an epoch each time it is iterated, with
            random numbers of the three libraries only.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self._begin: dict[str, Any] | None = None
        self._position = 0
        self._resumed: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def sampler(self) -> Any:
        r"""What orders the graphs: Lightning tells it the epoch."""
        return getattr(self.loader, "sampler", None)

    @property
    def batch_sampler(self) -> Any:
        r"""What forms the batches: Lightning tells its sampler the epoch."""
        return getattr(self.loader, "batch_sampler", None)

    def __iter__(self) -> Iterator[Any]:
        # Nothing is drawn before the first batch is asked for.
        state, self._resumed = self._resumed, None
        passed = 0
        if state is not None and state["position"] < len(self):
            passed = state["position"]
            set_random_state(state["begin"])
        elif state is not None:
            set_random_state(state["now"])
        self._begin, self._position = random_state(), 0
        for number, batch in enumerate(self.loader, start=1):
            self._position = number
            if number > passed:
                yield batch
            elif number == passed and state is not None:
                set_random_state(state["now"])

    def state_dict(self) -> dict[str, Any]:
        r"""Returns how many batches of the epoch were handed out, and the random
        numbers; before the first epoch an empty dictionary."""
        if self._begin is None:
            return {}
        return {
            "position": self._position,
            "begin": self._begin,
            "now": random_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        r"""Lets the next iteration continue where another loader was.

        Args:
            state (dict[str, Any]): What :meth:`state_dict` returned.

        Raises:
            ValueError: If there were more batches.
        """
        if state and not 0 <= state["position"] <= len(self):
            raise ValueError(
                f"'position' of 'state' must be at most {len(self)}, the batches of an "
                f"epoch (got {state['position']}); continue with the dataset and the "
                f"batch size that it was made with, or begin the epoch anew"
            )
        self._resumed = state or None


def random_state() -> dict[str, Any]:
    r"""Returns the random numbers to come of PyTorch, NumPy and Python, as tensors and
    plain values."""
    version, numbers, gauss = random.getstate()
    state: Any = np.random.get_state(legacy=False)
    key = torch.from_numpy(state["state"]["key"].astype(np.int64))
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": {**state, "state": {**state["state"], "key": key}},
        "python": [version, list(numbers), gauss],
    }


def set_random_state(state: dict[str, Any]) -> None:
    r"""Sets the random numbers to come of PyTorch, NumPy and Python."""
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    key = state["numpy"]["state"]["key"].numpy().astype(np.uint32)
    inner = {**state["numpy"]["state"], "key": key}
    np.random.set_state({**state["numpy"], "state": inner})
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
