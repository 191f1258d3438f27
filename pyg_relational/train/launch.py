"""The start of several processes on this machine, by torchrun."""

import logging
import os

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from pyg_relational.train.errors import UsageError


def must_start(devices: int | None) -> bool:
    """Tells whether processes have to be started for a number of devices.

    Args:
        devices (int, optional): How many were asked for; ``None`` if nothing was.

    Raises:
        UsageError: If `torchrun` started another number of processes.
    """
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
    failed.

    Args:
        argv (list[str]): Arguments without the program's name.
        devices (int): How many processes.
    """
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
