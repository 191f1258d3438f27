"""What a figure depends on besides code and seed: versions and kind of hardware."""

import ctypes
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

# From glibc's malloc.h; -1 as the second one's value means never.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
PACKAGES = ("torch", "torch-geometric", "pytorch-lightning", "numpy")


def keep_freed_memory() -> None:
    """Let this process keep large blocks that it has freed, where the C library is
    glibc; elsewhere nothing happens.

    By default each large tensor is mapped afresh and unmapped when freed, and its first
    use waits for the system to clear every page: at a million objects that costs half
    as much as the arithmetic.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 2**31 - 1)
    mallopt(_M_TRIM_THRESHOLD, -1)


def versions() -> dict[str, str]:
    """Return the versions of Python, of this package and of what it computes with."""
    from pyg_relational.version import __version__

    found = {name: metadata.version(name) for name in PACKAGES}
    return {
        "python": platform.python_version(),
        "pyg-relational": __version__,
        **found,
    }


def hardware(accelerator: str = "cpu") -> dict[str, Any]:
    """Return the kind of processor, the threads in use, and the accelerator.

    Args:
        accelerator (str): ``"cpu"`` or ``"cuda"``. (default: ``"cpu"``)

    Returns:
        dict: ``processor`` (str), ``threads`` (int), and on CUDA ``accelerator`` (str).
    """
    kind = {"processor": _processor(), "threads": torch.get_num_threads()}
    if accelerator == "cuda":
        kind["accelerator"] = torch.cuda.get_device_name()
    return kind


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
