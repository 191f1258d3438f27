import io
import shutil
import socket
from pathlib import Path

import pytest
import torch
import yaml
from rich.console import Console

from pyg_relational import explain
from pyg_relational._checks import UsageError
from pyg_relational.cli import main
from pyg_relational.datasets import DigitRelations
from pyg_relational.nn.checks import forward_arguments
from pyg_relational.train import configure, train
from pyg_relational.train import predict as predictions
from pyg_relational.train.predict import (
    Prediction,
    draw_prediction,
    predict_inputs,
    print_prediction,
    run_prediction,
)
from pyg_relational.train.run_folder import load_model

pytest.importorskip("sklearn", reason="needs the extra data")
pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra vision")
Image = pytest.importorskip("PIL.Image", reason="needs the extra vision")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    config = configure(
        "digits",
        command="pyg-relational train digits",
        baseline=False,
        epochs=1,
        data_root=str(folder / "data"),
        settings={
            "dataset.args.num_train": 256,
            "dataset.args.num_val": 16,
            "dataset.args.num_test": 16,
        },
    )
    train(config, folder / "run")
    return folder / "run"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    from sklearn.datasets import load_digits

    digits = load_digits().images
    for number, name in ((1500, "a.png"), (1420, "b.png")):
        grey = torch.from_numpy(255 - digits[number] * 255 // 16).to(torch.uint8)
        large = grey.repeat_interleave(20, 0).repeat_interleave(20, 1)
        paper = torch.full((200, 200), 255, dtype=torch.uint8)
        paper[20:180, 20:180] = large
        Image.fromarray(paper.numpy()).save(tmp_path / name)
    return [str(tmp_path / "a.png"), str(tmp_path / "b.png")]


def changed(run: Path, tmp_path: Path, **args: object) -> Path:
    """A copy of a run whose dataset has other arguments."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    config = yaml.safe_load((copy / "config.yaml").read_text())
    config["dataset"]["args"] |= args
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    return copy


def test_answers_are_those_of_the_model(run: Path, files: list[str]) -> None:
    prediction = predict_inputs(run, files)
    root = str(run.parent / "data")
    data = DigitRelations.data_from_inputs(files, root, "features")
    model = load_model(run)
    with torch.no_grad():
        expected = model(**forward_arguments(model, data)).softmax(dim=-1)[0]
    assert list(prediction.probabilities) == list(DigitRelations.ANSWERS)
    assert list(prediction.probabilities.values()) == pytest.approx(expected.tolist())
    assert prediction.answer == DigitRelations.ANSWERS[int(expected.argmax())]
    assert prediction.attention is None
    # The other way round is another question.
    turned = predict_inputs(run, files[::-1])
    assert turned.probabilities != prediction.probabilities


def test_answer_and_picture_from_the_command_line(
    run: Path, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "out.png"
    assert main(["predict", str(run), *files, "--picture", str(picture)]) == 0
    shown = capsys.readouterr().out
    answer = predict_inputs(run, files).answer
    assert f"answer: {answer}" in shown
    assert "one more" in shown
    assert f"picture: {picture}" in shown
    with Image.open(picture) as image:
        assert image.format == "PNG"


def test_no_network_access_is_attempted(
    run: Path, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    # Without any features at hand.
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["dataset"]["root"] = str(tmp_path / "empty")
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    run_prediction(copy, files, tmp_path / "out.png")
    assert (tmp_path / "out.png").is_file()


def test_probabilities_are_printed_in_order() -> None:
    console = Console(width=60, record=True, file=io.StringIO())
    known = {"same": 0.25, "[one] more": 0.75}
    print_prediction(Prediction([], known, None, "images"), console)
    lines = console.export_text().splitlines()
    assert lines[0] == "answer: [one] more"
    shown = [line for line in lines if "%" in line]
    assert "same" in shown[0]
    assert "25.0%" in shown[0]
    assert shown[0].count("█") == 5
    assert shown[1].count("█") == 15


def test_what_a_picture_does_not_take_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn = []
    plot = lambda inputs, probabilities, *, attention=None, path=None: (  # noqa: E731
        drawn.append((inputs, probabilities, attention, path))
    )
    monkeypatch.setitem(predictions.PICTURES, "own", plot)
    attention = (torch.zeros(2, 1), torch.ones(1))
    prediction = Prediction(["a"], {"yes": 1.0}, None, "own", attention)
    draw_prediction(prediction, tmp_path / "a.png")
    assert drawn == [(["a"], {"yes": 1.0}, attention, tmp_path / "a.png")]


def test_every_kind_of_input_has_its_picture() -> None:
    assert predictions.PICTURES[DigitRelations.INPUTS] is explain.plot_image_pair
    assert predictions.PICTURES["sentences"] is explain.plot_sentence_pair


def test_rows_of_another_width_than_the_head_are_refused(
    run: Path, files: list[str], tmp_path: Path
) -> None:
    other = changed(run, tmp_path, representation="pixels")
    message = r"'x' must have 960 features per row.*got shape \[2, 64\]"
    with pytest.raises(UsageError, match=message):
        predict_inputs(other, files)


def test_wrong_inputs_are_named(
    run: Path, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.png").write_text("no image")
    for inputs, message in (
        (files[:1], "Expected two image files, got 1"),
        ([files[0], str(tmp_path / "none.png")], "There is no image file at"),
        ([files[0], str(tmp_path / "text.png")], "cannot be read as an image"),
        ([*files, "--picture", "out.jpg"], "--picture to end with .png or .svg"),
        ([*files, "--pictur", "out.png"], "did you mean '--picture'"),
    ):
        assert main(["predict", str(run), *inputs]) == 2
        shown = capsys.readouterr()
        assert message in shown.err
        assert shown.err.count("\n") == 1
        assert shown.out == ""


def test_scenes_come_in_one_file_without_a_picture(finished_run: Path) -> None:
    with pytest.raises(UsageError, match="one JSON file with a scene, got 2 inputs"):
        run_prediction(finished_run, ["a.json", "b.json"], None)
    with pytest.raises(UsageError, match="use `pyg-relational explain`"):
        run_prediction(finished_run, ["a.json"], Path("out.png"))
