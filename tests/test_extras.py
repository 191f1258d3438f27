"""One table says which extra brings a package; pyproject agrees with it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pyg_relational._extras import EXTRAS, extra_of, require

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
# Extras of developers, and those that join others.
OTHERS = {"dev", "docs", "all"}


def test_the_table_is_what_the_project_declares() -> None:
    declared = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    names = {
        extra: {re.split(r"[<>=\[]", line)[0] for line in lines} - {"pyg-relational"}
        for extra, lines in declared.items()
        if extra not in OTHERS
    }
    assert names == {extra: {*packages.values()} for extra, packages in EXTRAS.items()}


def test_a_package_is_asked_for_by_the_first_extra() -> None:
    assert extra_of("matplotlib") == "train"
    assert extra_of("sklearn") == "tune"
    assert extra_of("yaml") == "train"
    assert extra_of("numpy") is None


def test_what_is_no_package_of_an_extra_stays_as_it_is() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'nosuch'"):
        require("nosuch")


@pytest.mark.parametrize(
    ("call", "package", "extra"),
    [
        ("p.train.RelationalModule", "pytorch_lightning", "train"),
        ("p.train.load_recipe('babi')", "yaml", "train"),
        ("p.hub.load_pretrained", "huggingface_hub", "hub"),
        ("p.explain.plot_scene", "matplotlib", "train"),
    ],
)
def test_subpackages_load_without_extras(call: str, package: str, extra: str) -> None:
    blocked = {name for packages in EXTRAS.values() for name in packages} | {"yaml"}
    # PyG needs the one itself, and looks for the other by other means.
    blocked -= {"psutil", "torch_scatter"}
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({blocked!r}))\n"
        "import pyg_relational as p\n"
        "assert all(hasattr(p, name) for name in p.SUBPACKAGES)\n"
        f"for name in {blocked - {package}!r}: del sys.modules[name]\n"
        f"try: {call}\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert f"pip install 'pyg-relational[{extra}]'" in done.stdout
