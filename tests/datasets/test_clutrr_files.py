import csv
import io
import zipfile

import pytest

from pyg_relational.datasets import clutrr as clutrr_files
from pyg_relational.datasets.clutrr import (
    COLUMNS,
    RELATIONS,
    Chain,
    parse_chain,
    read_chains,
)

FATHER, SISTER, AUNT = (RELATIONS.index(name) for name in ("father", "sister", "aunt"))


def row(**changes):
    return {
        "story": "[Ann] went to see her father [Bob], with his sister [Cleo].",
        "query": "('Ann', 'Cleo')",
        "target": "aunt",
        "story_edges": "[(0, 1), (1, 2)]",
        "edge_types": "['father', 'sister']",
        "query_edge": "(0, 2)",
        **changes,
    }


def table(*rows, columns=COLUMNS):
    text = io.StringIO(newline="")
    # Published tables have more columns than are read.
    writer = csv.DictWriter(text, ["", *columns, "task_name"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_row():
    chain = parse_chain(row())
    assert chain == Chain(((0, 1), (1, 2)), (FATHER, SISTER), (0, 2), AUNT)
    assert chain.num_nodes == 3
    # Somebody is met again.
    chain = parse_chain(
        row(
            story_edges="[(0, 1), (1, 0), (0, 2)]",
            edge_types="['father', 'daughter', 'sister']",
        )
    )
    assert chain.num_nodes == 3


def test_a_table_is_read_and_nothing_is_unpacked(tmp_path):
    other = row(edge_types="['sister', 'sister']", target="sister", story='A,\n"B".')
    members = {"a/1.csv": table(row(), other), "config.json": "{}"}
    path = write_zip(tmp_path / "data.zip", members)
    chains = read_chains(path, "a/1.csv")
    assert [chain.types for chain in chains] == [(FATHER, SISTER), (SISTER, SISTER)]
    assert [chain.target for chain in chains] == [AUNT, SISTER]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "cousin"}, "Unknown relation in 'target': 'cousin'"),
        ({"target": "fahter"}, "did you mean 'father'"),
        ({"target": ""}, "Unknown relation in 'target': ''"),
        (
            {"edge_types": "['father', 'siter']"},
            "'edge_types': 'siter'; did you mean 'sister'",
        ),
        ({"edge_types": "['father', 3]"}, "Unknown relation in 'edge_types': 3"),
        ({"edge_types": "['father']"}, "for each of 'story_edges', got 1 for 2"),
        ({"edge_types": "father"}, "'edge_types' to be a Python list .*'father'"),
        ({"edge_types": "('father', 'sister')"}, "'edge_types' to be a list, got"),
        ({"story_edges": "", "edge_types": "[]"}, "'story_edges' to be a Python list"),
        ({"story_edges": "[]", "edge_types": "[]"}, "got 0 for 0"),
        ({"story_edges": "[(0, 1), (1,)]"}, r"'story_edges' .* got \(1,\)"),
        ({"story_edges": "[(0, 1), (1, -2)]"}, r"numbers from 0 on, got \(1, -2\)"),
        ({"story_edges": "[(0, 1), (1, 2.0)]"}, r"got \(1, 2.0\)"),
        ({"story_edges": "[(0, 1), (1, 3)]"}, r"without gaps, got \[0, 1, 3\]"),
        ({"story_edges": "__import__('os')"}, "'story_edges' to be a Python list"),
        ({"query_edge": "2"}, "'query_edge' to hold pairs of numbers .* got 2"),
        ({"query_edge": "(0, 0)"}, "to lead from 0 to 0"),
        ({"query_edge": "(0, 7)"}, "to lead from 0 to 7"),
        # Against the edges.
        ({"query_edge": "(2, 0)"}, "to lead from 2 to 0"),
        (
            {
                "story_edges": "[(0, 1), (2, 3)]",
                "query_edge": "(0, 3)",
            },
            r"'story_edges' to lead from 0 to 3, .* got \[\(0, 1\), \(2, 3\)\]",
        ),
    ],
)
def test_a_wrong_row_is_named(tmp_path, changes, message):
    path = write_zip(tmp_path / "data.zip", {"1.csv": table(row(), row(**changes))})
    with pytest.raises(ValueError, match=message) as error:
        read_chains(path, "1.csv")
    assert str(error.value).startswith("1.csv, row 2: ")


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(tmp_path, column):
    left = [name for name in COLUMNS if name != column]
    path = write_zip(tmp_path / "data.zip", {"1.csv": table(row(), columns=left)})
    with pytest.raises(ValueError, match=f"1.csv: expected .*; {column} missing"):
        read_chains(path, "1.csv")


def test_a_short_row_and_an_empty_table(tmp_path):
    lines = table(row()).splitlines()
    cut = write_zip(tmp_path / "cut.zip", {"1.csv": f"{lines[0]}\n,story only\n"})
    with pytest.raises(ValueError, match=r"row 1: expected 'story_edges' .*got ''"):
        read_chains(cut, "1.csv")
    empty = write_zip(tmp_path / "empty.zip", {"1.csv": table(), "2.csv": ""})
    with pytest.raises(ValueError, match=r"1.csv: expected rows, found none"):
        read_chains(empty, "1.csv")
    with pytest.raises(ValueError, match=r"2.csv: expected the columns"):
        read_chains(empty, "2.csv")


def test_a_damaged_archive(tmp_path):
    path = write_zip(tmp_path / "data.zip", {"1.csv": table(*[row()] * 50)})
    content = path.read_bytes()
    for damaged in (
        b"no archive",
        b"",
        content[: len(content) // 2],
        # Of the compressed bytes, which the checksum covers.
        content[:60] + bytes(8) + content[68:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"'.*data.zip' is damaged \(.*delete it"):
            read_chains(path, "1.csv")
    binary = write_zip(tmp_path / "binary.zip", {"1.csv": b"\xff\xfe\x00"})
    with pytest.raises(ValueError, match=r"binary.zip' is damaged .*utf-8"):
        read_chains(binary, "1.csv")


def test_another_archive(tmp_path):
    path = write_zip(tmp_path / "data.zip", {"2.csv": "", "config.json": ""})
    with pytest.raises(
        ValueError, match=r"no member '1.csv', it holds 2.csv, config.json"
    ):
        read_chains(path, "1.csv")


@pytest.mark.parametrize(
    "name", ["../outside.csv", "/outside.csv", "a/../../b", "..\\b.csv", "C:\\b.csv"]
)
def test_paths_that_lead_out_are_refused(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = write_zip(folder / "data.zip", {"1.csv": table(row()), name: "x"})
    with pytest.raises(ValueError, match="which leads out of the archive"):
        read_chains(path, "1.csv")
    assert sorted(tmp_path.rglob("*")) == [folder, path]


def test_a_table_that_would_fill_the_memory_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(clutrr_files, "MAX_BYTES", 1000)
    path = write_zip(tmp_path / "data.zip", {"1.csv": "x" * 1001})
    with pytest.raises(ValueError, match="unpacks to 1001 bytes, more than 1000"):
        read_chains(path, "1.csv")
