import gzip

import pytest

from pyg_relational.datasets.sudoku import read_seventeen

A = "000000010400000000020000000000050407008000300001090000300400200050100000000806000"
B = "000000010400000000020000000000050604008000300001090000300400200050100000000807000"


def write(tmp_path, text, name="list.txt"):
    path = tmp_path / name
    content = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.fixture
def small_list(monkeypatch):
    """Makes the list of A and B the one that is expected."""
    monkeypatch.setattr(
        "pyg_relational.datasets.sudoku.SHA256",
        "b301438c9d29960c6f02511349b812543cb998c7b92cd21d18811225d3add47f",
    )


@pytest.mark.parametrize(
    "text",
    [
        f"{A}\n{B}\n",
        f"{B}\n{A}",
        f"\ufeff{A}\r\n{B}\r\n",
        f"{A}--\n\n{B.replace('0', '.')}\n",
    ],
)
@pytest.mark.parametrize("name", ["list.txt", "list.txt.gz"])
def test_copies_that_differ_in_form_only(tmp_path, small_list, text, name):
    puzzles = read_seventeen(write(tmp_path, text, name))
    assert ["".join(map(str, row)) for row in puzzles.given.tolist()] == sorted([A, B])


def test_lines_are_remembered(tmp_path, small_list):
    assert read_seventeen(write(tmp_path, f"{B}\n\n{A}\n")).line.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{A}\n{B[:-1]}\n", r"81 cells in line 2 of '.*list.txt', got 80"),
        (f"{A}\n{B}0\n", "81 cells in line 2 .*, got 82"),
        (f"{A}\n{B[:40]}x{B[41:]}\n", "line 2 of '.*list.txt', got 'x' at position 41"),
        (f"{A}\n{B[:-1]}-\n", "line 2 .*got '-' at position 81"),
        (f"{A}\n--\n", "81 cells in line 2 .*, got 0"),
        (A.encode() + b"\n\xff" + B.encode(), "line 2 .*got '\ufffd' at position 1"),
        (
            f"{A}\n1{B[1:]}\n",
            "one solution in line 2 of '.*list.txt', got none",
        ),
        (f"{A}\n\n{B[:7]}0{B[8:]}\n", "in line 3 of '.*list.txt', got more than one"),
        (f"{A}\n", "Royle's list of 49151 .*, got 1 puzzles with another checksum"),
        (f"{A}\n{A}\n", "got 2 puzzles with another checksum"),
        ("\n", "Expected puzzles in '.*list.txt', got an empty file"),
    ],
)
def test_wrong_files_are_explained(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_seventeen(write(tmp_path, text))


@pytest.mark.parametrize("keep", [0.5, 0.97])
def test_half_a_compressed_file(tmp_path, keep):
    path = write(tmp_path, f"{A}\n{B}\n", "list.txt.gz")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"list.txt.gz' is damaged.*Fetch"):
        read_seventeen(path)


def test_not_compressed_at_all(tmp_path):
    path = write(tmp_path, f"{A}\n{B}\n")
    path = path.rename(tmp_path / "list.txt.gz")
    with pytest.raises(ValueError, match=r"is damaged"):
        read_seventeen(path)
