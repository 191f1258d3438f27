import json
import re
from pathlib import Path

import pytest

from pyg_relational._checks import UsageError
from pyg_relational.train.predict import explain, predict

SCENE = {
    "objects": [
        {"colour": "green", "shape": "square", "x": 40, "y": 20},
        {"colour": "red", "shape": "circle", "x": 10, "y": 20},
        {"colour": "blue", "shape": "circle", "x": 60, "y": 60},
    ],
    "questions": ["shape red", "nearest_shape green"],
}


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "a & b.json"
    path.write_text(json.dumps(SCENE))
    return path


def test_report_says_what_the_model_says(
    finished_run: Path, scene: Path, tmp_path: Path
) -> None:
    output = tmp_path / "report.html"
    entries = explain(finished_run, scene, output)
    answers = predict(finished_run, scene)
    assert [e["answer"] for e in entries] == [e["answer"] for e in answers]
    for entry, answer in zip(entries, answers, strict=True):
        assert entry["probability"] == pytest.approx(answer["probability"])
        sizes = [abs(value) for *_, value in entry["pairs"]]
        assert sizes == sorted(sizes, reverse=True)
        assert set(entry["pairs"][0][:2]) <= {
            "red circle",
            "green square",
            "blue circle",
        }
    text = output.read_text()
    assert "a &amp; b.json" in text
    assert "a & b" not in text
    assert len(re.findall(r'src="data:image/png;base64,', text)) == 2
    target, source, value = entries[0]["pairs"][0]
    assert f"<li>{target} with {source}: {value:.3f}</li>" in text


def test_png_is_one_picture(finished_run: Path, scene: Path, tmp_path: Path) -> None:
    explain(finished_run, scene, tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(p.name for p in tmp_path.iterdir()) == [scene.name, "report.png"]


def test_bad_requests(finished_run: Path, scene: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.html or \.png, got '.*report.pdf'"):
        explain(finished_run, scene, tmp_path / "report.pdf")
    with pytest.raises(UsageError, match="DeepSets, whose pairs cannot be told"):
        explain(finished_run / "baseline", scene, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
