from pathlib import Path

import pytest

from pyg_relational._checks import UsageError
from pyg_relational._files import read_json, write_atomic, write_json


def test_interrupted_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": "ä"})

    def interrupted(partial: Path) -> None:
        partial.write_text("{")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, interrupted)
    assert read_json(path) == {"a": "ä"}
    assert list(tmp_path.iterdir()) == [path]


def test_unreadable_json(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_json(tmp_path / "missing.json")
    (tmp_path / "half.json").write_text("{")
    with pytest.raises(UsageError, match="not valid JSON"):
        read_json(tmp_path / "half.json")
