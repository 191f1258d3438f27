"""What a bug report needs to say of an installation, and whether the operators are
right on this machine.
"""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import torch
from torch import Tensor

from pyg_relational._extras import EXTRAS
from pyg_relational.ops import (
    additive_attention,
    dot_attention,
    mlp_pair_reduce,
    pair_attention,
    relu_pair_sum,
)

PROJECT = "pyg-relational"
# Where datasets are looked for before they are downloaded.
DATA_FOLDER = "PYG_RELATIONAL_DATA"
SIZES = (0, 1, 6, 40)
TOLERANCE = 1e-10
HEADS, WIDTH = 2, 3


@dataclass(frozen=True)
class Check:
    """An operator against explicit pairs.

    Args:
        name (str): The operator.
        error (float): The largest difference of values and gradients; infinite if the
            operator failed.
        message (str): What it failed with. (default: `""`)
    """

    name: str
    error: float
    message: str = ""

    @property
    def right(self) -> bool:
        """Whether the operator agrees with the pairs."""
        return self.error <= TOLERANCE


def diagnose(device: str = "cpu") -> tuple[str, bool]:
    """Returns a report in Markdown, without paths, and whether all operators are
    right."""
    checks = self_check(device)
    lines = ["| what | found |", "|---|---|"]
    rows = {**_versions(), **_extras(), **_machine(), **_folders()}
    lines += [f"| {name} | {value} |" for name, value in rows.items()]
    lines += ["", f"Operators against all pairs, float64 on {device}:", ""]
    for check in checks:
        verdict = f"right, {check.error:.0e}" if check.right else "WRONG"
        reason = f": {check.message or f'off by {check.error:.1e}'}"
        lines.append(f"- {check.name}: {verdict}{'' if check.right else reason}")
    return "\n".join(lines), all(check.right for check in checks)


def self_check(device: str = "cpu") -> list[Check]:
    """Compares values and gradients of the operators with explicit pairs, on sets of
    no, one and several objects."""
    generator = torch.Generator().manual_seed(0)
    ptr = torch.tensor([0, *SIZES]).cumsum(0).to(device)

    def rows(width: int) -> Tensor:
        count = sum(SIZES)
        x = torch.randn(count, width, generator=generator, dtype=torch.float64)
        return x.to(device)

    width = HEADS * WIDTH
    weight, bias = rows(width)[:WIDTH], rows(WIDTH)[0]
    narrow = rows(width)[:HEADS]
    a, b, v = rows(width), rows(width), rows(width)
    s, t = rows(HEADS), rows(HEADS)
    cases: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], tuple]] = {
        "relu_pair_sum": (
            lambda a, b: relu_pair_sum(a, b, ptr, ptr, method="sorted"),
            lambda a, b: _pairs(a, b).relu().sum(dim=1),
            (a, b),
        ),
        "mlp_pair_reduce": (
            lambda a, b: mlp_pair_reduce(
                a, b, [(weight, bias)], ptr, ptr, method="tiled"
            ),
            lambda a, b: (_pairs(a, b).relu() @ weight.T + bias).relu().sum(dim=1),
            (a, b),
        ),
        "additive_attention": (
            lambda s, t, v: additive_attention(
                s, t, _heads(v), ptr, ptr, method="sorted"
            ),
            lambda s, t, v: _attend(_leaky(_pairs(s, t)), v),
            (s, t, v),
        ),
        "pair_attention": (
            lambda a, b, v: _heads(
                pair_attention(
                    a, b, v, ptr, ptr, heads=HEADS, score_layers=[(narrow, None)]
                )[0]
            ),
            lambda a, b, v: _attend(_leaky(_pairs(a, b)) @ narrow.T, v),
            (a, b, v),
        ),
        "dot_attention": (
            lambda a, b, v: dot_attention(_heads(a), _heads(b), _heads(v), ptr, ptr),
            lambda a, b, v: _attend(_dots(a, b), v),
            (a, b, v),
        ),
    }
    return [_compare(name, *case, ptr) for name, case in cases.items()]


def _compare(
    name: str,
    operator: Callable[..., Tensor],
    textbook: Callable[..., Tensor],
    inputs: tuple[Tensor, ...],
    ptr: Tensor,
) -> Check:
    theirs = [x.clone().requires_grad_() for x in inputs]
    ends = zip(ptr.tolist(), ptr[1:].tolist(), strict=False)
    sets = [textbook(*(x[start:end] for x in theirs)) for start, end in ends]
    expected = _with_gradients(torch.cat(sets), theirs)
    ours = [x.clone().requires_grad_() for x in inputs]
    try:
        found = _with_gradients(operator(*ours), ours)
    # Whatever an operator fails with on a machine is what the report is for.
    except Exception as error:
        return Check(name, float("inf"), f"{type(error).__name__}: {error}")
    pairs = zip(found, expected, strict=True)
    return Check(name, max(float((x - y).abs().max()) for x, y in pairs))


def _with_gradients(out: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    pull = torch.linspace(-1, 1, out.numel(), dtype=out.dtype, device=out.device)
    return [out.detach(), *torch.autograd.grad(out, inputs, pull.view_as(out))]


def _pairs(target: Tensor, source: Tensor) -> Tensor:
    # [n, F], [n, F] -> [n, n, F]
    return target.unsqueeze(1) + source.unsqueeze(0)


def _heads(x: Tensor) -> Tensor:
    # [n, K * C] -> [n, K, C]
    return x.unflatten(1, (HEADS, WIDTH))


def _leaky(x: Tensor) -> Tensor:
    return torch.nn.functional.leaky_relu(x, 0.2)


def _dots(query: Tensor, key: Tensor) -> Tensor:
    return torch.einsum("ikc,jkc->ijk", _heads(query), _heads(key)) / WIDTH**0.5


def _attend(score: Tensor, value: Tensor) -> Tensor:
    alpha = score.softmax(dim=1)  # [n, n, K]
    return torch.einsum("ijk,jkc->ikc", alpha, _heads(value))


def _versions() -> dict[str, str]:
    names = (PROJECT, "torch", "torch-geometric", "networkx", "numpy")
    return {"python": platform.python_version()} | {x: _version(x) for x in names}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except PackageNotFoundError:
        return "missing"


def _extras() -> dict[str, str]:
    """The extras, each with what is missing of it."""
    out = {}
    for extra, packages in EXTRAS.items():
        missing = [x for x in packages.values() if _version(x) == "missing"]
        out[f"extra {extra}"] = f"lacks {', '.join(missing)}" if missing else "complete"
    return out


def _machine() -> dict[str, str]:
    import torch_geometric.typing as pyg

    gpu = "none"
    if torch.cuda.is_available():
        gpu = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    scatter = "not installed"
    if _version("torch-scatter") != "missing":
        loaded = "loads" if pyg.WITH_TORCH_SCATTER else "does NOT load: build it again"
        scatter = f"{_version('torch-scatter')}, {loaded}"
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "threads": str(torch.get_num_threads()),
        "GPU": gpu,
        "torch-scatter": scatter,
    }


def _folders() -> dict[str, str]:
    """Whether the data folder is there; which it is stays private."""
    path = os.environ.get(DATA_FOLDER)
    if not path:
        return {DATA_FOLDER: "not set"}
    state = "a folder" if Path(path).is_dir() else "set, but no folder"
    if Path(path).is_dir():
        state += f" with {len(list(Path(path).iterdir()))} entries"
        state += "" if os.access(path, os.W_OK) else ", read only"
    return {DATA_FOLDER: state}
