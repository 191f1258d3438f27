import json
from pathlib import Path

import pytest

from pyg_relational._checks import UsageError
from pyg_relational.datasets import SortOfCLEVR
from pyg_relational.train.predict import predict
from pyg_relational.train.run_folder import load_model

OBJECTS = [
    {"colour": "green", "shape": "square", "x": 40, "y": 20},
    {"colour": "red", "shape": "circle", "x": 10, "y": 20},
]
QUESTIONS = ["shape red", "nearest_shape green"]


def scene_file(folder: Path, **content: object) -> Path:
    path = folder / "scene.json"
    path.write_text(json.dumps(content))
    return path


def test_answers_are_those_of_the_model(finished_run: Path, tmp_path: Path) -> None:
    path = scene_file(tmp_path, objects=OBJECTS, questions=QUESTIONS)
    answers = predict(finished_run, path)
    assert [entry["question"] for entry in answers] == QUESTIONS
    scene = SortOfCLEVR.scene_from_objects(OBJECTS, QUESTIONS)
    logits = load_model(finished_run)(
        scene.x, u=scene.u, u_batch=scene.y.new_zeros(2), batch_size=1
    )
    for entry, row in zip(answers, logits.detach().softmax(-1), strict=True):
        assert entry["answer"] == SortOfCLEVR.ANSWERS[int(row.argmax())]
        assert entry["probability"] == pytest.approx(float(row.max()), abs=1e-6)
        assert sum(entry["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"objects": OBJECTS, "questions": ["shap red"]}, "did you mean 'shape'"),
        ({"objects": OBJECTS, "question": []}, "did you mean 'questions'"),
        ({"objects": OBJECTS}, "lacks questions"),
        ({"objects": 3, "questions": QUESTIONS}, "objects"),
    ],
)
def test_bad_scenes(
    finished_run: Path, tmp_path: Path, content: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        predict(finished_run, scene_file(tmp_path, **content))


def test_scene_file_must_hold_an_object(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(UsageError, match="must hold an object"):
        predict(finished_run, tmp_path / "list.json")
