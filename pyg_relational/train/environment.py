"""What a figure depends on besides code and seed: versions and kind of hardware."""

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "torch-geometric", "pytorch-lightning", "numpy")


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
