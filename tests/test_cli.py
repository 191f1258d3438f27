import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from pyg_relational import benchmarks
from pyg_relational.cli import main
from pyg_relational.cli.commands import COMMANDS, reproducing_command

WIDTHS = {"in_channels": 10, "out_channels": 10, "u_dim": 12, "readout_channels": [4]}
OBJECTS = [
    {"colour": "red", "shape": "circle", "x": 10, "y": 20},
    {"colour": "green", "shape": "square", "x": 40, "y": 20},
]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    content = {
        "name": "tiny",
        "description": "A small Sort-of-CLEVR.",
        "dataset": {
            "class": "SortOfCLEVR",
            "root": str(tmp_path / "data"),
            "follow_batch": ["u"],
            "args": {"num_train": 32, "num_val": 8, "num_test": 8, "num_objects": 2},
        },
        "model": "relation",
        "models": {
            "relation": {
                "class": "RelationNetwork",
                "args": {**WIDTHS, "relation_channels": [4]},
            }
        },
        "sizes": {"laptop": {}},
        "optimizer": {
            "class": "Adam",
            "learning_rate": 0.01,
            "weight_decay": 0.0,
            "warmup_steps": 1,
        },
        "budget": {
            "max_epochs": 1,
            "batch_size": 16,
            "validate_every": 1,
            "patience": 1,
        },
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.fixture
def torch_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_train_evaluate_predict_record(
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--record", "records/tiny.json", "--seed", "1"]
    assert main(["train", "tiny.yaml", *arguments]) == 0
    trained = capsys.readouterr()
    assert "run folder: runs/tiny-relation-seed1" in trained.out
    assert trained.err == ""
    content = json.loads((tmp_path / "records" / "tiny.json").read_text())
    assert content["runs"][0]["command"] == "pyg-relational train tiny.yaml --seed 1"

    assert main(["train", "tiny.yaml", *arguments]) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert main(["train", "tiny.yaml", *arguments, "--overwrite"]) == 0
    capsys.readouterr()

    assert main(["evaluate", "runs/tiny-relation-seed1"]) == 0
    assert "ours (relation)" in capsys.readouterr().out

    scene = {"objects": OBJECTS, "questions": ["shape red"]}
    Path("scene.json").write_text(json.dumps(scene))
    assert main(["predict", "runs/tiny-relation-seed1", "scene.json"]) == 0
    assert "shape red" in capsys.readouterr().out

    assert main(["explain", "runs/tiny-relation-seed1", "scene.json"]) == 0
    assert "shape red: " in capsys.readouterr().out
    report = Path("runs/tiny-relation-seed1/explanation.html").read_text()
    assert "<h2>shape red: " in report
    assert main(["explain", "runs/tiny-relation-seed1", "none.json"]) == 2
    assert "none.json" in capsys.readouterr().err

    places = ["<!-- table:tiny -->", "<!-- /table:tiny -->"]
    places += ["<!-- headlines -->", "<!-- /headlines -->", ""]
    Path("results.md").write_text("\n".join(places))
    tables = ["tables", "--records", "records", "--pages", "results.md"]
    assert main([*tables, "--check"]) == 1
    assert "'results.md' differs" in capsys.readouterr().err
    assert main(tables) == 0
    assert main([*tables, "--check"]) == 0


def test_options_from_a_file(
    recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    torch_threads: None,
) -> None:
    run = tmp_path / "run"
    options = {"recipe": str(recipe), "max_steps": 1, "run_dir": str(run)}
    (tmp_path / "options.yaml").write_text(yaml.safe_dump(options))
    arguments = ["train", "--config", str(tmp_path / "options.yaml")]
    assert main([*arguments, "--print_config"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["max_steps"] == 1
    assert shown["size"] == "laptop"
    assert main([*arguments, "--threads", "1"]) == 0
    results = json.loads((run / "results.json").read_text())
    assert results["training"]["steps"] == 1
    assert results["hardware"]["threads"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'"),
        (["train", "sort-of-clever"], "did you mean 'sort-of-clevr'"),
        (["train", "sort-of-clevr", "--epocs", "1"], "did you mean '--epochs'"),
        (["train", "sort-of-clevr", "--epoch=1"], "did you mean '--epochs'"),
        (["train", "sort-of-clevr", "--epochs", "many"], "option --epochs: "),
        (["train", "sort-of-clevr", "--max-steps", "0"], "option --max-steps: "),
        (["train", "sort-of-clevr", "--size", "huge"], "option --size: "),
        (["train", "sort-of-clevr", "--model", "relatio"], "did you mean 'relation'"),
        (["train", "sort-of-clevr", "extra"], "unrecognized arguments: extra"),
        (["train", "--config", "missing.yaml"], "File does not exist"),
        (["train"], "are required: recipe"),
        ([], "expected"),
        (["evaluate", "missing"], "'missing' is not a run folder"),
        (["predict", "missing", "scene.json"], "'missing' is not a run folder"),
        (["benchmark", "graph"], "did you mean 'graphs'"),
        (["tables", "--pages", "missing.md"], "cannot read 'missing.md'"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.startswith("pyg-relational: ")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_a_configuration_file_allows_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "options.yaml"
    path.write_text("allow: [os]\n")
    assert main(["train", "missing.yaml", "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert "must not say whose code is run; leave out 'allow', and give --al" in error


def test_unwritable_folders(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    below = str(tmp_path / "file" / "below")
    assert main(["train", str(recipe), "--run-dir", below]) == 2
    assert "cannot write the run folder" in capsys.readouterr().err
    run = str(tmp_path / "run")
    arguments = ["train", str(recipe), "--run-dir", run, "--data-root", below]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert below in error
    assert error.count("\n") == 1


def test_missing_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jsonargparse", None)
    monkeypatch.delitem(sys.modules, "pyg_relational.cli.commands")
    assert main(["list"]) == 2
    assert 'pip install "pyg-relational[train]"' in capsys.readouterr().err


def test_other_missing_modules_are_defects(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> int:
        raise ModuleNotFoundError("No module named 'oops'", name="oops")

    monkeypatch.setitem(COMMANDS, "list", broken)
    with pytest.raises(ModuleNotFoundError, match="oops"):
        main(["list"])


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "sort-of-clevr: " in shown
    assert "--representation pixels --model relation" in shown
    assert "  graphs\n" in shown


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*filter(None, [command]), "--help"]) == 0
    assert "usage: pyg-relational" in capsys.readouterr().out


def test_benchmark_prints_and_writes_its_figures(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "def run(size: int = 1) -> dict:\n    return {'size': size}\n"
    (tmp_path / "toy_speed.py").write_text(text)
    places = [str(tmp_path), *benchmarks.__path__]
    monkeypatch.setattr(benchmarks, "__path__", places)
    output = tmp_path / "figures.json"
    arguments = ["benchmark", "toy_speed", "--size", "3", "--output", str(output)]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"size": 3}
    assert json.loads(output.read_text()) == {"size": 3}
    assert main(["benchmark", "toy_speed", "--sise", "3"]) == 2
    assert "did you mean '--size'" in capsys.readouterr().err


def test_help_loads_no_torch() -> None:
    code = (
        "import sys; from pyg_relational.cli import main; main(['--help']);"
        "main(['train', '--help']); main(['list']);"
        "assert not {'torch', 'pytorch_lightning', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_recorded_command_leaves_out_places() -> None:
    argv = ["train", "r", "--run-dir", "a b", "--seed=1", "--data-root=x", "--resume"]
    assert reproducing_command(argv) == "pyg-relational train r --seed=1"


def test_doctor_prints_a_report(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["doctor"]) == 0
    assert "- relu_pair_sum: right" in capsys.readouterr().out
    wrong = "pyg_relational.cli.doctor.relu_pair_sum"
    monkeypatch.setattr(wrong, lambda a, *args, **options: a)
    assert main(["doctor"]) == 1
    assert "relu_pair_sum: WRONG: " in capsys.readouterr().out
