"""The processes that train one model together, as `torchrun` starts them."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, distributed
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from pyg_relational._checks import UsageError

# The start of several processes on this machine, by torchrun.


def must_start(devices: int | None) -> bool:
    """Tells whether processes have to be started for a number of devices."""
    started = os.environ.get("LOCAL_WORLD_SIZE")
    if started is None:
        return devices is not None and devices > 1
    if devices is not None and devices != int(started):
        raise UsageError(
            f"--devices {devices}: torchrun started {started} processes on this "
            "machine; leave the option out, or give both the same number"
        )
    return False


def start_processes(argv: list[str], devices: int) -> int:
    """Run a command line in several processes, return the exit code of the first that
    failed."""
    threads = max(1, (os.cpu_count() or 1) // devices)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    # That all parameters of a model are used is nothing to warn of.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    options = ["--standalone", f"--nproc-per-node={devices}"]
    # Processes report their errors themselves.
    logging.disable()
    try:
        run(parse_args([*options, "--module", "pyg_relational", *argv]))
    except ChildFailedError as error:
        return max(1, error.get_first_failure()[1].exitcode)
    finally:
        logging.disable(logging.NOTSET)
    return 0


# One process prepares a dataset, which may take hours, while the others wait.
PATIENCE = timedelta(days=1)


def rank() -> int:
    """Return the number of this process."""
    return distributed.get_rank() if _connected() else 0


def world_size() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if _connected() else 1


@contextmanager
def processes(accelerator: str) -> Iterator[None]:
    """Connects the processes that `torchrun` started; one alone stays alone."""
    started = distributed.is_available() and distributed.is_torchelastic_launched()
    if _connected() or not started or os.environ["WORLD_SIZE"] == "1":
        yield
        return
    gpu = _on_gpu(accelerator)
    if gpu:
        _check_gpus(int(os.environ["LOCAL_WORLD_SIZE"]))
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if gpu else "gloo", timeout=PATIENCE)
    yield
    # Not after an error: the others may be waiting for this process.
    distributed.destroy_process_group()


def first_alone(function: Callable[..., object], *args: Any) -> None:
    """Call a function in the first process, while the others wait.

    Where it fails, `torchrun` ends the others."""
    if rank() == 0:
        function(*args)
    if _connected():
        distributed.barrier()


def pool(loss: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Return the mean loss of the rows of all processes, and their number."""
    if not _connected():
        return loss.detach(), torch.tensor(rows)
    total = torch.stack([loss.detach() * rows, loss.new_tensor(rows)]).double()
    distributed.all_reduce(total)
    mean = total[0] / total[1].clamp(min=1)
    return mean.to(loss.dtype), total[1].long()


def gather(value: Any) -> list[Any]:
    """Return the values of all processes, in their order."""
    if not _connected():
        return [value]
    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


def trainer_options(accelerator: str) -> dict[str, Any]:
    """Return the options of a trainer for the processes that there are."""
    if not _connected():
        return {"devices": 1}
    devices = int(os.environ["LOCAL_WORLD_SIZE"])
    return {
        "devices": devices,
        "num_nodes": world_size() // devices,
        # A part of a batch may leave out parameters that another part needs.
        "strategy": DDPStrategy(find_unused_parameters=True),
        "use_distributed_sampler": False,
        # torch offers it on GPUs alone.
        "sync_batchnorm": _on_gpu(accelerator),
    }


class RandomNumbers(Callback):
    """Gives each process random numbers of its own, the first those of one process
    alone: Lightning seeds all alike when it connects them.

    Args:
        seed (int): The seed of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.state = torch.get_rng_state()

    def setup(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str
    ) -> None:
        """Set the state of random numbers."""
        if rank() == 0:
            torch.set_rng_state(self.state)
        else:
            torch.manual_seed(self.seed + rank())


def _connected() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _check_gpus(needed: int) -> None:
    found = torch.cuda.device_count()
    if needed > found:
        raise UsageError(
            f"{needed} processes need a GPU each, but torch finds {found} on this "
            "machine; start fewer, or use --accelerator cpu"
        )


def _on_gpu(accelerator: str) -> bool:
    return accelerator != "cpu" and torch.cuda.is_available()
