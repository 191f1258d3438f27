"""The run folder: what a training run leaves behind, and the checks on reading it."""

import ctypes
import json
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout
from torch import nn

from pyg_relational._checks import UsageError
from pyg_relational._files import read_json, read_yaml, write_text
from pyg_relational.train.weights import (
    load_weights,
    renewed,
    save_weights,
    without_checksum,
)

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
    from pyg_relational import __version__

    found = {name: metadata.version(name) for name in PACKAGES}
    return {
        "python": platform.python_version(),
        "pyg-relational": __version__,
        **found,
    }


def hardware(accelerator: str = "cpu") -> dict[str, Any]:
    """Return the kind of processor, the threads in use, and the accelerator."""
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


LOCK = ".lock"
# Removed in this order: what is left is a run as long as it says of what.
CONTENT = (
    "config.json",
    "results.json",
    "model.safetensors",
    "metrics.csv",
    "learning-curve.png",
    "scenes.png",
    "checkpoints",
    "tensorboard",
    "baseline",
    "config.yaml",
)
# A resumed run must agree in these; its budget may have been extended.
IDENTITY = ("recipe", "size", "representation", "dataset", "model", "optimizer", "seed")


def prepare(
    folder: Path, config: dict[str, Any], resume: bool, overwrite: bool
) -> None:
    """Make the folder ready for a run and write its ``config.yaml``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strangers = [path.name for path in folder.iterdir() if not _ours(path)]
    except OSError as error:
        raise _unwritable(folder, error) from error
    exists = (folder / "config.yaml").is_file()
    if strangers and not exists:
        raise UsageError(
            f"'{folder}' holds files that are not a run ({strangers[0]}); choose "
            "another folder with --run-dir"
        )
    if exists and resume:
        _check_same_run(folder, config)
    elif exists and not overwrite:
        raise UsageError(
            f"'{folder}' already holds a run; --resume continues it, --overwrite "
            "replaces it, --run-dir writes elsewhere"
        )
    try:
        if not (exists and resume):
            _clear(folder)
        # Of a process that was killed.
        for partial in folder.rglob(".*.partial"):
            partial.unlink()
        # Through JSON: equal parts shall be written out, not as references.
        plain = json.loads(json.dumps(config))
        # Of studies, not of runs.
        plain.pop("search", None)
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        write_text(folder / "config.yaml", text)
    except OSError as error:
        raise _unwritable(folder, error) from error


@contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Keeps other processes from training in the folder. The system gives it free when
    this process is killed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(
            f"another process trains in '{folder}'; wait for it, or choose another "
            "folder with --run-dir"
        ) from error
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()


def read_config(folder: Path) -> dict[str, Any]:
    """Read the resolved configuration of a run."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise UsageError(f"'{folder}' is not a run folder: it has no config.yaml")
    config = read_yaml(path)
    missing = [
        key for key in IDENTITY if not isinstance(config, dict) or key not in config
    ]
    if missing:
        raise UsageError(f"'{path}' lacks {', '.join(missing)}; train the run again")
    return config


def save_model(folder: Path, model: nn.Module, spec: dict[str, Any]) -> None:
    """Write ``model.safetensors``, and ``config.json`` with class, arguments and the
    checksum of the weights."""
    save_weights(folder / "model.safetensors", model, spec)


def load_model(folder: Path) -> nn.Module:
    """Build the model of a finished run with its weights, in evaluation mode."""
    config = read_config(folder)
    for name in ("model.safetensors", "config.json"):
        if not (folder / name).is_file():
            raise UsageError(
                f"'{folder}' has no {name}: its training did not finish; continue it "
                f"with `pyg-relational train {config['recipe']} --run-dir {folder} "
                "--resume` and the options of its config.yaml"
            )
    spec = read_json(folder / "config.json")
    if without_checksum(spec) != config["model"]:
        raise UsageError(
            f"'{folder}' is a run folder of another model: config.json describes "
            f"{_class_of(spec)}, config.yaml {_class_of(config['model'])}, or their "
            "arguments differ"
        )
    return load_weights(folder / "model.safetensors", spec, "train with --overwrite")


def _ours(path: Path) -> bool:
    return path.name in (*CONTENT, LOCK) or path.name.endswith(".partial")


def _clear(folder: Path) -> None:
    for name in CONTENT:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _check_same_run(folder: Path, config: dict[str, Any]) -> None:
    before, now = _identity(read_config(folder)), _identity(config)
    differ = [key for key in now if before[key] != now[key]]
    if differ:
        raise UsageError(
            f"cannot resume '{folder}': it is a run of another "
            f"{', '.join(differ)} than asked for; give the options it was started "
            "with, or another --run-dir"
        )


def _identity(config: dict[str, Any]) -> dict[str, Any]:
    identity = {key: config[key] for key in IDENTITY}
    identity["model"] = renewed(config["model"])
    # Where the data lies does not change what is learnt from it.
    identity["dataset"] = {
        key: value for key, value in config["dataset"].items() if key != "root"
    }
    return identity


def _class_of(spec: Any) -> str:
    return str(spec.get("class")) if isinstance(spec, dict) else "no model"


def _unwritable(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        f"cannot write the run folder '{folder}': {error.strerror}; choose another "
        "with --run-dir"
    )
