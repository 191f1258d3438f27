"""What importing the package costs and what it brings along."""

import subprocess
import sys

import pytest

EXTRAS = (
    "pytorch_lightning",
    "torchmetrics",
    "ogb",
    "matplotlib",
    "transformers",
    "jsonargparse",
    "rich",
)


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_library_imports_no_extra() -> None:
    # PyG itself imports some of them where they are installed.
    code = (
        "import sys, torch_geometric.nn, torch_geometric.datasets;"
        "import torch_geometric.loader;"
        "before = set(sys.modules);"
        "import pyg_relational as p;"
        "p.ops, p.nn, p.models, p.data, p.datasets, p.testing;"
        f"print([name for name in {EXTRAS} if name in set(sys.modules) - before])"
    )
    assert run(code).strip() == "[]"


def test_importing_the_package_alone_imports_nothing_heavy() -> None:
    code = "import sys, pyg_relational; print('torch' in sys.modules)"
    assert run(code).strip() == "False"


def test_unknown_names_are_attribute_errors() -> None:
    code = (
        "import pyg_relational\ntry: pyg_relational.layers\n"
        "except AttributeError as error: print(error)"
    )
    assert "no attribute 'layers'" in run(code)


def test_every_subpackage_is_an_attribute() -> None:
    pytest.importorskip("huggingface_hub")
    code = (
        "import pyg_relational as p;"
        "print(p.hub.load_pretrained.__name__, p.hub.export_model.__name__);"
        "print({name for name in p.SUBPACKAGES if getattr(p, name).__name__"
        " != f'pyg_relational.{name}'}, set(p.SUBPACKAGES) - set(dir(p)))"
    )
    assert run(code).split("\n")[:2] == ["load_pretrained export_model", "set() set()"]


def test_an_unknown_name_is_answered_by_what_there_is() -> None:
    code = (
        "import pyg_relational\ntry: pyg_relational.nosuch\n"
        "except AttributeError as error: print(error)"
    )
    shown = run(code)
    assert all(name in shown for name in ("datasets", "explain", "hub", "train"))
