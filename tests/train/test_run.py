import csv
import json
from pathlib import Path

import pytest
import torch
import yaml

from pyg_relational._checks import UsageError
from pyg_relational.train import configure, evaluate, train
from pyg_relational.train.module import RelationalModule
from pyg_relational.train.run_folder import LOCK, load_model, occupied


class Interrupted(Exception):
    pass


def test_run_folder_is_complete(finished_run: Path) -> None:
    results = json.loads((finished_run / "results.json").read_text())
    relational = results["test"]["kind"]["relational"]
    assert relational["published"] == {"paper": "> 94"}
    assert 0 < relational["ours"] < 1
    assert 0 < relational["baseline"] < 1
    assert results["test"]["kind"]["non-relational"]["published"] == {}
    # Kinds and subtypes are two ways to split the same 320 questions.
    kinds = [cell["ours"] for cell in results["test"]["kind"].values()]
    assert sum(kinds) / 2 == pytest.approx(results["test"]["all"]["all"]["ours"])
    assert len(results["test"]["subtype"]) == 6
    assert results["training"]["steps"] == 8
    assert results["baseline"]["training"]["steps"] == 8
    assert results["hardware"]["threads"] == torch.get_num_threads()
    config = yaml.safe_load((finished_run / "config.yaml").read_text())
    assert config["seed"] == 0
    assert config["versions"]["torch"] == torch.__version__
    for name in ("learning-curve.png", "scenes.png"):
        assert (finished_run / name).read_bytes().startswith(b"\x89PNG")
    assert list((finished_run / "tensorboard").glob("events.*"))
    assert (finished_run / "checkpoints" / "best.ckpt").is_file()
    assert not list(finished_run.rglob("*.partial"))


def test_tested_weights_are_those_that_validated_best(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = RelationalModule.training_step

    def worse_in_the_second_epoch(
        module: RelationalModule, batch: object
    ) -> torch.Tensor:
        return step(module, batch) * (1 if module.current_epoch == 0 else -100)

    monkeypatch.setattr(RelationalModule, "training_step", worse_in_the_second_epoch)
    folder = recipe.parent / "run"
    train(configure(str(recipe), command="c", baseline=False), folder)
    best, last = (
        torch.load(folder / "checkpoints" / name, weights_only=True)["state_dict"]
        for name in ("best.ckpt", "last.ckpt")
    )
    for name, weight in load_model(folder).state_dict().items():
        assert weight.equal(best[f"model.{name}"])
        assert not weight.equal(last[f"model.{name}"])


def test_evaluate_finds_the_recorded_figures(finished_run: Path) -> None:
    recorded = json.loads((finished_run / "results.json").read_text())
    assert evaluate(finished_run)["test"] == recorded["test"]


def test_same_seed_same_figures(recipe: Path, finished_run: Path) -> None:
    config = configure(str(recipe), command="c", baseline=False)
    again = train(config, recipe.parent / "again")
    before = json.loads((finished_run / "results.json").read_text())
    first = {k: v["ours"] for k, v in before["test"]["subtype"].items()}
    assert {k: v["ours"] for k, v in again["test"]["subtype"].items()} == first
    assert again["baseline"] is None
    other = configure(str(recipe), command="c", baseline=False, seed=1)
    results = train(other, recipe.parent / "other")
    assert {k: v["ours"] for k, v in results["test"]["subtype"].items()} != first


def test_interrupted_run_is_resumed(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(str(recipe), command="c", baseline=False, epochs=3)
    folder = recipe.parent / "run"
    step = RelationalModule.training_step

    def interrupted_step(module: RelationalModule, batch: object) -> torch.Tensor:
        if module.global_step == 10:
            raise Interrupted
        return step(module, batch)

    monkeypatch.setattr(RelationalModule, "training_step", interrupted_step)
    with pytest.raises(Interrupted):
        train(config, folder)
    assert not (folder / "results.json").exists()
    with pytest.raises(UsageError, match=r"training did not finish.*--resume"):
        load_model(folder)
    seen = []

    def counted_step(module: RelationalModule, batch: object) -> torch.Tensor:
        seen.append(module.global_step)
        return step(module, batch)

    monkeypatch.setattr(RelationalModule, "training_step", counted_step)
    assert "continues" not in capsys.readouterr().out
    results = train(config, folder, resume=True)
    assert "\ncontinues after step 8\nepoch 3  " in capsys.readouterr().out
    assert seen == [8, 9, 10, 11]
    assert results["training"]["steps"] == 12
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/accuracy"]]
    assert [int(row["step"]) for row in rows] == [3, 7, 11]


def test_a_folder_is_trained_in_by_one_process(recipe: Path) -> None:
    config = configure(str(recipe), command="c", baseline=False, max_steps=1)
    folder = recipe.parent / "run"
    with occupied(folder), pytest.raises(UsageError, match="another process trains in"):
        train(config, folder)
    assert not [*folder.iterdir()]
    train(config, folder)
    assert not (folder / LOCK).exists()
    (recipe.parent / "file").touch()
    with pytest.raises(UsageError, match=r"cannot write the run folder.*--run-dir"):
        train(config, recipe.parent / "file" / "run")


def test_resume_with_more_epochs_trains_on(recipe: Path) -> None:
    folder = recipe.parent / "run"
    config = configure(str(recipe), command="c", baseline=False)
    train(config, folder, resume=True)
    config = configure(str(recipe), command="c", baseline=False, epochs=3)
    assert train(config, folder, resume=True)["training"]["steps"] == 12


def test_max_steps_stops_within_an_epoch(recipe: Path) -> None:
    config = configure(str(recipe), command="c", baseline=False, max_steps=3)
    results = train(config, recipe.parent / "run")
    assert results["training"]["steps"] == 3
    assert "relational" in results["test"]["kind"]


def test_pixels(recipe: Path) -> None:
    config = configure(
        str(recipe),
        command="c",
        representation="pixels",
        model="pixel-relation",
        baseline=False,
        max_steps=2,
    )
    results = train(config, recipe.parent / "run")
    assert results["representation"] == "pixels"
    assert (recipe.parent / "run" / "scenes.png").is_file()


def test_model_for_another_representation(recipe: Path) -> None:
    config = configure(str(recipe), command="c", representation="pixels")
    with pytest.raises(UsageError, match="RelationNetwork needs 'x'"):
        train(config, recipe.parent / "run")


def test_wrong_width_says_expected_and_got(recipe: Path) -> None:
    config = configure(str(recipe), command="c", baseline=False)
    config["model"]["args"]["in_channels"] = 7
    with pytest.raises(UsageError, match=r"(?s)7.*10|10.*7"):
        train(config, recipe.parent / "run")


def test_wrong_baseline_is_found_before_training(recipe: Path) -> None:
    config = configure(str(recipe), command="c")
    config["baseline"]["args"]["colour"] = "red"
    with pytest.raises(UsageError, match="model DeepSets"):
        train(config, recipe.parent / "run")
    assert not (recipe.parent / "run").exists()


def test_progress_bar_on_a_terminal(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    config = configure(str(recipe), command="c", baseline=False)
    train(config, recipe.parent / "run")
    shown = capsys.readouterr().out
    assert "val/accuracy" in shown
    assert "v_num" not in shown


def test_time_budget_ends_training(recipe: Path) -> None:
    config = configure(str(recipe), command="c", baseline=False, epochs=50)
    config["budget"]["max_minutes"] = 1e-6
    results = train(config, recipe.parent / "run")
    assert results["training"]["steps"] < 8


def test_early_stopping(recipe: Path) -> None:
    config = configure(str(recipe), command="c", baseline=False, epochs=50)
    config["budget"]["patience"] = 1
    config["optimizer"]["learning_rate"] = 0.0
    assert train(config, recipe.parent / "run")["training"]["epochs"] == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
def test_missing_gpu(recipe: Path) -> None:
    with pytest.raises(UsageError, match="torch finds no GPU"):
        configure(str(recipe), command="c", accelerator="gpu")


def test_steps_that_end_within_an_epoch_are_validated(
    recipe: Path, tmp_path: Path
) -> None:
    config = configure(str(recipe), command="c", max_steps=3, baseline=False)
    config["optimizer"]["gradient_clip"] = 1.0
    train(config, tmp_path / "run")
    best = torch.load(tmp_path / "run/checkpoints/best.ckpt", weights_only=True)
    assert best["global_step"] == 3


def test_gradients_are_clipped_in_low_precision(recipe: Path, tmp_path: Path) -> None:
    config = configure(
        str(recipe), command="c", max_steps=2, baseline=False, precision="bf16-mixed"
    )
    config["optimizer"]["gradient_clip"] = 1.0
    results = train(config, tmp_path / "run")
    assert results["training"]["steps"] == 2


def test_an_unknown_reference_is_told_before_training(
    recipe: Path, tmp_path: Path
) -> None:
    config = configure(str(recipe), command="c", max_steps=2, baseline=False)
    with pytest.raises(UsageError, match="did you mean 'ridge'"):
        train(config | {"references": ["rigde"]}, tmp_path / "run")
    assert not (tmp_path / "run").exists()
