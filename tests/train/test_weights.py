"""Weights and their checksum: damage is noticed, a killed writer does no harm."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from pyg_relational._checks import UsageError
from pyg_relational._files import read_json
from pyg_relational.models import DeepSets
from pyg_relational.train.weights import load_weights, renewed, save_weights

ARGS = {"in_channels": 3, "out_channels": 2, "object_channels": [4]}
SPEC = {"class": "DeepSets", "args": {**ARGS, "readout_channels": [4]}}
# Three files are renamed: both checksums, the weights, one checksum.
RENAMES = 3


class Killed(BaseException):
    pass


def model(value: float) -> DeepSets:
    made = DeepSets(**SPEC["args"])
    for parameter in made.parameters():
        torch.nn.init.constant_(parameter, value)
    return made


def save(folder: Path, value: float) -> None:
    save_weights(folder / "model.safetensors", model(value), SPEC)


def load(folder: Path) -> set[float]:
    """The numbers of the model that the folder holds."""
    spec = read_json(folder / "config.json")
    found = load_weights(folder / "model.safetensors", spec, "fetch it again")
    return {x for p in found.parameters() for x in p.unique().tolist()}


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def kill(monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    """Ends the process, so to speak, instead of its rename of this number."""
    rename, done = Path.replace, []

    def replace(source: Path, target: Path) -> Path:
        if len(done) == before:
            raise Killed
        done.append(target)
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", replace)


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    save(tmp_path, 0.5)
    assert load(tmp_path) == {0.5}
    (record,) = read_json(tmp_path / "config.json")["weights"]
    path = tmp_path / "model.safetensors"
    assert record["bytes"] == path.stat().st_size
    for place in (-1, -40, 9, 100):
        flip(path, place)
        with pytest.raises(UsageError, match=r"model\.safetensors' or config\.json .*"):
            load(tmp_path)
        flip(path, place)
    assert load(tmp_path) == {0.5}
    flip(path, -1)
    message = r"is damaged: the file has .* bytes and the SHA-256 .*; fetch it again"
    with pytest.raises(UsageError, match=message):
        load(tmp_path)


def test_a_folder_without_a_checksum_is_read_as_before(tmp_path: Path) -> None:
    safetensors.torch.save_model(model(2.0), str(tmp_path / "model.safetensors"))
    (tmp_path / "config.json").write_text(json.dumps(SPEC))
    assert load(tmp_path) == {2.0}


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("renames", range(RENAMES + 1))
def test_a_killed_writer_leaves_what_can_be_read(
    tmp_path: Path, renames: int, checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1.0)
    if not checked:
        (tmp_path / "config.json").write_text(json.dumps(SPEC))
    with monkeypatch.context() as patch:
        kill(patch, renames)
        if renames < RENAMES:
            with pytest.raises(Killed):
                save(tmp_path, 2.0)
        else:
            save(tmp_path, 2.0)
    assert load(tmp_path) == ({1.0} if renames < 2 else {2.0})
    path = tmp_path / "model.safetensors"
    # Nor is damage taken for one of the two files.
    if checked or renames > 0:
        flip(path, -1)
        with pytest.raises(UsageError, match="is damaged"):
            load(tmp_path)
        flip(path, -1)
    # What was begun is forgotten.
    save(tmp_path, 3.0)
    assert load(tmp_path) == {3.0}
    assert len(read_json(tmp_path / "config.json")["weights"]) == 1


@pytest.mark.parametrize("renames", range(RENAMES))
def test_a_new_folder_is_whole_or_lacks_its_weights(
    tmp_path: Path, renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill(patch, renames)
        with pytest.raises(Killed):
            save(tmp_path, 2.0)
    if renames < 2:
        assert not (tmp_path / "model.safetensors").exists()
    else:
        assert load(tmp_path) == {2.0}


def test_a_killed_writer_does_not_make_damage_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1.0)
    flip(tmp_path / "model.safetensors", -1)
    kill(monkeypatch, 1)
    with pytest.raises(Killed):
        save(tmp_path, 2.0)
    with pytest.raises(UsageError, match="is damaged"):
        load(tmp_path)


@pytest.mark.parametrize("weights", [None, "a", 3, {"sha256": "a"}])
def test_a_damaged_list_of_checksums(tmp_path: Path, weights: object) -> None:
    save(tmp_path, 1.0)
    description = json.dumps({**SPEC, "weights": weights})
    (tmp_path / "config.json").write_text(description)
    with pytest.raises(UsageError, match="must list its checksums as 'weights', got"):
        load(tmp_path)


def test_older_descriptions_are_read_with_the_names_of_today() -> None:
    inner = {"class": "R2N2", "args": {"in_channels": 4, "head_channels": [8]}}
    spec = {"class": "StoryNetwork", "args": {"num_tokens": 9, "reasoner": inner}}
    args = renewed(spec)["args"]
    assert args["num_tokens"] == 9
    assert args["reasoner"]["args"] == {"in_channels": 4, "readout_channels": [8]}
    # The width of an attention head has kept its name.
    heads = {"class": "RelationalMemoryNetwork", "args": {"head_channels": 8}}
    assert renewed(heads) == heads
