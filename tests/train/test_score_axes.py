import copy
import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from pyg_relational.train import plots as score_axes
from pyg_relational.train.plots import curve_points, score_curves


def cell(ours: float, baseline: float | None, share: float) -> dict[str, Any]:
    return {"ours": ours, "baseline": baseline, "references": {"majority": share}}


def run(seed: int, ours: list[float], baseline: list[float | None]) -> dict[str, Any]:
    groups = zip(("2", "10", "3"), ours, baseline, strict=True)
    length = {name: cell(a, b, 0.1) for name, a, b in groups}
    return {"seed": seed, "test": {"length": length, "all": {"all": cell(1, 1, 1)}}}


RECORD = {
    "recipe": "clutrr",
    "size": "laptop",
    "representation": None,
    "metric": "accuracy",
    "model": "composition",
    "baseline": "lstm",
    "settings": {"dataset": {"class": "CLUTRR", "args": {}}},
    "runs": [
        run(0, [1.0, 0.8, 0.9], [0.9, 0.3, 0.8]),
        run(1, [1, 0.6, 1], [1, 0.5, 1]),
    ],
}
OTHER = {
    **RECORD,
    "model": "gat",
    "baseline": None,
    "runs": [run(0, [0.7, 0.2, 0.6], [None] * 3)],
}


def write(folder: Path, **records: dict[str, Any]) -> None:
    for name, record in records.items():
        path = folder / f"{name.replace('_', '-')}.json"
        path.write_text(json.dumps(record))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    save = Figure.savefig

    def kept(figure: Figure, *args: Any, **kwargs: Any) -> None:
        figures.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", kept)
    return figures


def lines(figure: Figure) -> dict[str, list[list[float]]]:
    (axes,) = figure.axes
    return {
        str(line.get_label()): [[float(v) for v in data] for data in line.get_data()]
        for line in axes.lines
    }


def test_points_are_in_the_order_of_numbers() -> None:
    points = curve_points(
        [{"2": 1.0, "10": 0.8, "3": 0.9}, {"2": 1, "10": 0.6, "3": 1}]
    )
    assert [number for number, _, _ in points] == [2, 3, 10]
    assert [mean for _, mean, _ in points] == pytest.approx([1.0, 0.95, 0.7])
    assert [s for _, _, s in points] == pytest.approx([0, 0.005**0.5, 0.02**0.5])
    assert curve_points([{"4": 0.5}]) == [(4, 0.5, 0.0)]


def test_records_of_all_models_are_one_picture(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    benchmark = {"table": {"columns": []}}
    paper = {**RECORD, "size": "paper", "model": "large"}
    write(
        tmp_path,
        clutrr=RECORD,
        clutrr_gat=OTHER,
        clutrr_paper=paper,
        clutrr_bench=benchmark,
        other=RECORD,
    )
    for name in ("clutrr", "clutrr-gat"):
        made = score_axes.draw_records(tmp_path / f"{name}.json")
        assert made == [tmp_path / "clutrr-length.png"]
        assert made[0].read_bytes().startswith(b"\x89PNG")
        shown = lines(drawn[-1])
        assert list(shown) == ["composition", "gat", "lstm", "majority"]
        assert shown["composition"] == [[2, 3, 10], pytest.approx([1.0, 0.95, 0.7])]
        assert shown["lstm"] == [[2, 3, 10], pytest.approx([0.95, 0.9, 0.4])]
        assert shown["gat"] == [[2, 3, 10], [0.7, 0.6, 0.2]]
        assert shown["majority"] == [[2, 3, 10], pytest.approx([0.1] * 3)]
        # Of two runs there is a spread, of one there is none.
        assert len(drawn[-1].axes[0].collections) == 3
        assert drawn[-1].axes[0].get_xlabel() == "relations in the chain"


def test_a_run_is_drawn(tmp_path: Path, drawn: list[Figure]) -> None:
    results = {
        **RECORD,
        "test": RECORD["runs"][0]["test"],
        "baseline": {"model": "lstm", "training": {}},
    }
    assert score_axes.draw_run(tmp_path, results) == [tmp_path / "length.png"]
    shown = lines(drawn[-1])
    assert shown["composition"] == [[2, 3, 10], [1.0, 0.9, 0.8]]
    assert shown["lstm"] == [[2, 3, 10], [0.9, 0.8, 0.3]]
    alone = {**results, "baseline": None}
    score_axes.draw_run(tmp_path, alone)
    assert list(lines(drawn[-1])) == ["composition", "majority"]


def test_a_dataset_that_asks_for_none_gets_none(tmp_path: Path) -> None:
    record = copy.deepcopy(RECORD)
    record["settings"]["dataset"]["class"] = "NLVR"
    write(tmp_path, nlvr=record, ops={"table": {}})
    assert score_axes.draw_records(tmp_path / "nlvr.json") == []
    assert score_axes.draw_records(tmp_path / "ops.json") == []
    assert not list(tmp_path.glob("*.png"))


def test_errors_are_not_shown_as_shares(tmp_path: Path, drawn: list[Figure]) -> None:
    score_curves(tmp_path / "a.png", {"m": [{"1": 3.0}]}, "absolute_error", "masses")
    (axes,) = drawn[-1].axes
    assert axes.get_ylabel() == "test absolute error"
    assert axes.get_ylim()[1] > 2.5
