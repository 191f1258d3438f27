import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_relational._checks import UsageError
from pyg_relational.train.callbacks import KEYS, AtomicCheckpoints, read_checkpoint


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("trapped"),)


def content() -> dict[str, Any]:
    return {**dict.fromkeys(KEYS, 1), "state_dict": {"weight": torch.arange(600.0)}}


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    torch.save(content(), tmp_path / "last.ckpt")
    found = read_checkpoint(tmp_path / "last.ckpt")
    assert torch.equal(found["state_dict"]["weight"], torch.arange(600.0))


def test_a_flipped_bit_of_a_tensor_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(content(), path)
    raw = bytearray(path.read_bytes())
    place = raw.index(torch.arange(600.0)[300:].numpy().tobytes()) + 10
    raw[place] ^= 1
    path.write_bytes(raw)
    torch.load(path, weights_only=True)  # Does not notice.
    with pytest.raises(UsageError, match=r"is damaged .wrong checksum of"):
        read_checkpoint(path)


def test_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**content(), "callbacks": Trap()}, tmp_path / "last.ckpt")
    with pytest.raises(UsageError, match="could run code when it is read; it is ref"):
        read_checkpoint(tmp_path / "last.ckpt")
    (tmp_path / "old.ckpt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UsageError, match="is damaged"):
        read_checkpoint(tmp_path / "old.ckpt")
    assert not Path("trapped").exists()


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(UsageError, match="no checkpoint of a training: it lacks epoch"):
        read_checkpoint(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", "b")
    with pytest.raises(UsageError, match=r"last\.ckpt' is damaged .* --resume starts"):
        read_checkpoint(path)


def test_a_checkpoint_that_cannot_be_written_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, files = tmp_path / "checkpoints" / "last.ckpt", AtomicCheckpoints()
    files.save_checkpoint(content(), path)
    before = path.read_bytes()
    whole = torch.save

    def cut_short(value: Any, partial: Path) -> None:
        # Beside the file that it will replace: elsewhere a rename would be a copy.
        assert Path(partial).parent == path.parent
        whole(value, partial)
        Path(partial).write_bytes(Path(partial).read_bytes()[:100])
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", cut_short)
    with pytest.raises(OSError, match="disk full"):
        files.save_checkpoint({"state_dict": {}}, path)
    assert path.read_bytes() == before
    assert [*path.parent.iterdir()] == [path]
    assert torch.equal(
        read_checkpoint(path)["state_dict"]["weight"], torch.arange(600.0)
    )
