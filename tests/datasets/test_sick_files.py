import hashlib
import io
import zipfile

import pytest

from pyg_relational.datasets import sick as sick_files
from pyg_relational.datasets.sick import (
    COLUMNS,
    fetch_sentence_pairs,
    read_sentence_pairs,
)

HEAD = "\t".join(COLUMNS)
LINES = [
    HEAD,
    '7\tA "man" sleeps\tNobody sleeps\t3.45\tCONTRADICTION',
    "9\tA dog runs\tAn animal runs\t4\tENTAILMENT",
]


def write(path, lines, end="\n"):
    path.write_bytes(end.join([*lines, ""]).encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_pairs_are_those_of_the_lines(tmp_path, end):
    pairs = read_sentence_pairs(write(tmp_path / "f.txt", LINES, end))
    assert pairs == [
        (7, 'A "man" sleeps', "Nobody sleeps", 3.45, 2),
        (9, "A dog runs", "An animal runs", 4.0, 0),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("9\tA dog runs\tAn ani", "expected 5 columns, got 3 in '9"),
        ("9\tA dog\t \t4\tNEUTRAL", "expected two sentences, got an empty one"),
        ("9\tA dog\tNo\t4\tNEUT", r"a relation \(entailment, .*\), got 'NEUT'"),
        ("9\tA dog\tNo\tfour\tNEUTRAL", "and the relatedness 'four'"),
        ("x\tA dog\tNo\t4\tNEUTRAL", "the identifier 'x'"),
        ("9\tA dog\tNo\t9\tNEUTRAL", "relatedness from 1 to 5, got '9'"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, message):
    path = write(tmp_path / "f.txt", [*LINES, line])
    with pytest.raises(ValueError, match=rf"f\.txt, line 4: .*{message}"):
        read_sentence_pairs(path)


def test_other_files_are_refused(tmp_path):
    path = write(tmp_path / "f.txt", ["pair_ID\tsentence_A", *LINES[1:]])
    with pytest.raises(ValueError, match=r"line 1: expected .pair_ID"):
        read_sentence_pairs(path)
    path.write_bytes(b"PK\x03\x04\xff\xfe\n")
    with pytest.raises(ValueError, match=r"f\.txt, line 1: .*fetch the file again"):
        read_sentence_pairs(path)
    with pytest.raises(ValueError, match="holds no pairs"):
        read_sentence_pairs(write(path, [HEAD]))


def archive(name, text):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as content:
        content.writestr(name, text)
        content.writestr("readme.txt", "about")
    return buffer.getvalue()


@pytest.fixture
def served(monkeypatch):
    """What the server has, by address."""
    files = {}

    def fetch(url, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[url])

    monkeypatch.setattr(sick_files, "fetch_raw", fetch)
    return files


def test_a_download_is_unpacked_and_checked(tmp_path, served, monkeypatch):
    text = "\n".join(LINES)
    digest = hashlib.sha256(text.encode()).hexdigest()
    monkeypatch.setitem(sick_files.SHA256, "val", digest)
    url = f"{sick_files.URL}/sick_trial.zip"
    served[url] = archive("SICK_trial.txt", text)
    path = tmp_path / "raw" / "SICK_trial.txt"
    fetch_sentence_pairs("val", path)
    assert path.read_text() == text
    assert [file.name for file in path.parent.iterdir()] == ["SICK_trial.txt"]
    path.unlink()
    broken = {
        "have the SHA-256": archive("SICK_trial.txt", text + "x"),
        "to be a zip archive with the file 'SICK_trial.txt'": archive("a.txt", text),
        r"to be a zip archive .*\(File is not a zip file\)": b"<html>moved</html>",
    }
    for message, content in broken.items():
        served[url] = content
        with pytest.raises(ValueError, match=message):
            fetch_sentence_pairs("val", path)
        assert list(path.parent.iterdir()) == []
