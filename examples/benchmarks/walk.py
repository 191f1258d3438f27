"""The files of the package that a call passes: ``pyg-relational train`` up to the first
optimiser step, and ``SceneEncoder.transform``.

``python examples/benchmarks/walk.py`` prints each file when a function of it is entered
for the first time. Import statements are no steps of the walk, nor is what a file does
while it is imported.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import networkx as nx
import yaml

import pyg_relational

PACKAGE = Path(pyg_relational.__file__).parent
# What a recipe names: every recipe has its own.
NAMED = ("datasets", "models", "nn", "ops", "transforms")


class Walk(dict[str, str]):
    """The files in the order of the walk, each with the function it was entered by."""

    def __init__(self) -> None:
        self.named: set[str] = set()

    def enter(self, frame: FrameType, event: str, argument: Any) -> None:
        """Note the file of a function of the package, as a profiler does."""
        code: CodeType = frame.f_code
        path = Path(code.co_filename)
        if event != "call" or not path.is_relative_to(PACKAGE):
            return
        file = str(path.relative_to(PACKAGE))
        if file not in self and not _imports(frame):
            self[file] = code.co_qualname
            caller = Path(frame.f_back.f_code.co_filename) if frame.f_back else path
            if any(
                {PACKAGE / name} & {*path.parents, *caller.parents} for name in NAMED
            ):
                self.named.add(file)


def _imports(frame: FrameType | None) -> bool:
    """Whether a function is called by a module, or a class, that is being read."""
    while frame is not None:
        place = Path(frame.f_code.co_filename)
        if frame.f_code.co_name == "<module>" and place.is_relative_to(PACKAGE):
            return True
        frame = frame.f_back
    return False


@contextmanager
def recorded() -> Iterator[Walk]:
    """Record the walk of what is called inside, in this thread."""
    walk, before = Walk(), sys.getprofile()
    sys.setprofile(walk.enter)
    try:
        yield walk
    finally:
        sys.setprofile(before)


class FirstStep(Exception):
    """The optimiser is about to step."""


def walk_of_training(folder: Path, recipe: str = "sort-of-clevr") -> Walk:
    """Walk from the command to the first optimiser step of a recipe."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    from pyg_relational.cli import main
    from pyg_relational.train import load_recipe

    def stop(*args: Any) -> None:
        raise FirstStep

    content = load_recipe(recipe)
    small = dict.fromkeys(("num_train", "num_val", "num_test"), 20)
    content["dataset"]["args"] |= small
    content["dataset"]["root"] = str(folder / "data")
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    hook = register_optimizer_step_pre_hook(stop)
    try:
        with recorded() as walk:
            main(["train", str(path), "--run-dir", str(folder / "run")])
    except FirstStep:
        pass
    finally:
        hook.remove()
    return walk


def walk_of_transform() -> Walk:
    """Walk through the transformation of two scenes."""
    from pyg_relational.data import SceneEncoder

    scene = nx.Graph()
    scene.add_node(0, colour="red", size=1.0)
    scene.add_node(1, colour="blue", size=2.0)
    scene.add_edge(0, 1, distance=0.5)
    encoder = SceneEncoder()
    encoder.fit([scene, scene])
    with recorded() as walk:
        encoder.transform([scene, scene])
    return walk


def show(title: str, walk: Walk) -> None:
    """Print a walk."""
    own = [file for file in walk if file not in walk.named]
    print(f"{title}: {len(own)} files")
    for file in own:
        print(f"  {file:<34} {walk[file]}")
    if walk.named:
        print(f"and {len(walk.named)} of what the recipe names:")
    for file in sorted(walk.named):
        print(f"  {file:<34} {walk[file]}")


WALKS: dict[str, Callable[[Path], Walk]] = {
    "pyg-relational train, to the first step": walk_of_training,
    "SceneEncoder.transform": lambda folder: walk_of_transform(),
}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for name, take in WALKS.items():
            show(name, take(Path(place)))
