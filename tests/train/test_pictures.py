from pathlib import Path

import pytest
from matplotlib.figure import Figure

from pyg_relational.train import plots as pictures


def drawn(groups: list[str], monkeypatch: pytest.MonkeyPatch, path: Path) -> Figure:
    """The learning curves of two models, and the figure that is saved."""
    rows = [
        {"step": 9, "train/loss": 2.0},
        {
            "step": 10,
            "val/accuracy": 0.5,
            **{f"val/accuracy/{g}": 0.25 for g in groups},
        },
        {
            "step": 20,
            "val/accuracy": 0.75,
            **{f"val/accuracy/{g}": 1.0 for g in groups},
        },
    ]
    figures = []
    save = pictures._save
    monkeypatch.setattr(
        pictures,
        "_save",
        lambda figure, path: (figures.append(figure), save(figure, path)),
    )
    pictures.learning_curve(path, {"a": rows, "b": rows[:2]}, "accuracy", groups)
    assert path.read_bytes().startswith(b"\x89PNG")
    return figures[0]


def lines(figure: Figure) -> dict[str, list[list[float]]]:
    right = figure.axes[1]
    found: dict[str, list[list[float]]] = {}
    for line in right.lines:
        label = str(line.get_label())
        name = "" if label.startswith("_") else label
        found.setdefault(name, []).append([float(y) for y in line.get_ydata()])
    return found


def test_few_groups_have_a_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = drawn(["x", "y"], monkeypatch, tmp_path / "a.png")
    (loss,) = {tuple(line.get_xydata()[0]) for line in figure.axes[0].lines}
    assert loss == (9, 2.0)
    both = {f"a: {g}": [[0.25, 1.0]] for g in "xy"}
    assert lines(figure) == both | {f"b: {g}": [[0.25]] for g in "xy"}


def test_without_groups_the_mean_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = lines(drawn([], monkeypatch, tmp_path / "a.png"))
    assert found == {"a": [[0.5, 0.75]], "b": [[0.5]]}


def test_of_many_groups_the_mean_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A name each would leave no room for the axes, which matplotlib warns of.
    groups = [f"a task with a long name, number {n}" for n in range(20)]
    found = lines(drawn(groups, monkeypatch, tmp_path / "a.png"))
    assert found.pop("") == [[0.25, 1.0]] * 20 + [[0.25]] * 20
    assert found == {"a": [[0.5, 0.75]], "b": [[0.5]]}
