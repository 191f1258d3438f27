import json
import shutil
from pathlib import Path

import pytest
import yaml

from pyg_relational._checks import UsageError
from pyg_relational.train import configure
from pyg_relational.train.run_folder import load_model, prepare, read_config


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "copy"))


def edit_model(run: Path, file: str, **changes: object) -> None:
    path = run / file
    content = yaml.safe_load(path.read_text())
    spec = content["model"] if file == "config.yaml" else content
    spec["args"].update(changes)
    text = yaml.safe_dump(content) if file == "config.yaml" else json.dumps(content)
    path.write_text(text)


def test_existing_run_is_not_touched_without_a_flag(run: Path) -> None:
    config = read_config(run)
    with pytest.raises(UsageError, match="already holds a run; --resume continues"):
        prepare(run, config, resume=False, overwrite=False)
    assert (run / "model.safetensors").is_file()
    prepare(run, config, resume=False, overwrite=True)
    assert [path.name for path in run.iterdir()] == ["config.yaml"]


def test_folder_of_something_else_is_not_touched(tmp_path: Path, run: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    with pytest.raises(UsageError, match=r"not a run \(cat.jpg\)"):
        prepare(tmp_path / "photos", read_config(run), resume=False, overwrite=True)
    assert (tmp_path / "photos" / "cat.jpg").is_file()


def test_resume_of_another_run(recipe: Path, run: Path) -> None:
    other = configure(str(recipe), command="c", seed=3, learning_rate=0.5)
    with pytest.raises(UsageError, match="run of another optimizer, seed"):
        prepare(run, other, resume=True, overwrite=False)
    moved = configure(str(recipe), command="c", data_root="elsewhere", epochs=9)
    prepare(run, moved, resume=True, overwrite=False)
    assert (run / "model.safetensors").is_file()


def test_what_is_left_of_a_removal_is_not_continued(recipe: Path, run: Path) -> None:
    other = configure(str(recipe), command="c", seed=3)
    for name in ("results.json", "model.safetensors"):
        (run / name).unlink()
    with pytest.raises(UsageError, match="run of another seed"):
        prepare(run, other, resume=True, overwrite=False)
    (run / "config.yaml").unlink()
    assert (run / "checkpoints" / "last.ckpt").is_file()
    prepare(run, other, resume=True, overwrite=False)
    assert [path.name for path in run.iterdir()] == ["config.yaml"]


def test_config_is_removed_last(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    whole = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        removed.append(path.name)
        whole(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    prepare(run, read_config(run), resume=False, overwrite=True)
    assert removed.index("config.yaml") > removed.index("model.safetensors")


def test_partial_files_of_killed_processes_are_removed(run: Path) -> None:
    partials = [run / ".results.json.7.partial", run / "checkpoints/.a.ckpt.7.partial"]
    for partial in partials:
        partial.write_text("")
    prepare(run, read_config(run), resume=True, overwrite=False)
    assert not any(partial.exists() for partial in partials)
    assert (run / "checkpoints" / "last.ckpt").is_file()


def test_unwritable_folder(tmp_path: Path, run: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write the run folder.*--run-dir"):
        prepare(tmp_path / "file" / "run", read_config(run), False, False)


def test_not_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no config\.yaml"):
        read_config(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not valid YAML"), ("a: 1", "lacks recipe, size")]
)
def test_damaged_config(run: Path, text: str, message: str) -> None:
    (run / "config.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_model(run)


def test_config_of_another_model(run: Path) -> None:
    edit_model(run, "config.json", readout_channels=[9])
    with pytest.raises(UsageError, match=r"run folder of another model: config\.json"):
        load_model(run)


def test_weights_of_another_model(run: Path) -> None:
    for file in ("config.json", "config.yaml"):
        edit_model(run, file, readout_channels=[9])
    with pytest.raises(UsageError, match="another model: the weights do not fit"):
        load_model(run)


def test_half_written_weights(run: Path) -> None:
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match="is damaged"):
        load_model(run)


def test_half_written_description(run: Path) -> None:
    (run / "config.json").write_text('{"class": ')
    with pytest.raises(UsageError, match="not valid JSON"):
        load_model(run)
