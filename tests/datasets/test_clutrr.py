import csv
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import CLUTRR, clutrr, downloads
from pyg_relational.datasets.clutrr import (
    COLUMNS,
    RELATIONS,
    Chain,
    composed_pairs,
    lengthened,
    parse_chain,
    read_chains,
    split_chains,
)
from tests.datasets.small_files import (
    CLUTRR_TRAIN,
    PARENTS,
    SIBLINGS,
    UNCLES,
    write_clutrr,
)

SHARED = Path(
    os.environ.get("PYG_RELATIONAL_DATA")
    or Path(__file__).resolve().parents[3] / "shared" / "data"
)
real_data = pytest.mark.skipif(
    not (SHARED / "clutr" / clutrr.FILE).is_file(),
    reason="needs the CLUTRR archive: set PYG_RELATIONAL_DATA",
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    write_clutrr(tmp_path / "raw")
    return tmp_path


def number(name):
    return RELATIONS.index(name)


def test_a_graph(root):
    dataset = CLUTRR(root, "test")
    assert str(dataset) == "CLUTRR(9)"
    # Test files follow each other by length.
    assert dataset._data.question_length.tolist() == list(range(9))
    assert dataset._data.question_range.tolist() == [0, 0, *[1] * 7]
    data = dataset[2]
    assert data.edge_index.tolist() == [[0, 1, 2, 1], [1, 2, 1, 3]]
    told = ["father", "brother", "brother", "sister"]
    assert data.edge_attr.argmax(dim=1).tolist() == [number(name) for name in told]
    assert data.edge_attr.sum(dim=1).tolist() == [1.0] * 4
    assert data.edge_attr.shape == (4, 20)
    # The first person, two others, the second person.
    assert data.x.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0]]
    assert data.edge_label_index.tolist() == [[0], [3]]
    assert data.y.tolist() == [number("aunt")]


def test_a_batch_renumbers_persons(root):
    batch = next(iter(DataLoader(CLUTRR(root, "test"), batch_size=9)))
    start = batch.ptr[:-1]
    # Every question starts at the first person of its story.
    assert batch.edge_label_index[0].equal(start)
    assert batch.x[batch.edge_label_index[1], 1].tolist() == [1.0] * 9
    assert batch.edge_index.max() == batch.num_nodes - 1
    assert batch.y.shape == batch.question_length.shape == (9,)


def test_both_ways(root):
    data, both = CLUTRR(root, "test")[2], CLUTRR(root, "test", "both-ways")[2]
    assert both.edge_index[:, ::2].equal(data.edge_index)
    assert both.edge_index[:, 1::2].equal(data.edge_index.flip(0))
    assert both.edge_attr[::2, :20].equal(data.edge_attr)
    assert both.edge_attr[1::2, 20:].equal(data.edge_attr)
    assert both.edge_attr.sum() == 8
    assert both.x.equal(data.x)


def test_a_sequence(root):
    data = CLUTRR(root, "test", "sequence")[2]
    told = ["father", "brother", "brother", "sister"]
    assert data.x.tolist() == [number(name) for name in told]
    assert sorted(data.keys()) == ["question_length", "question_range", "x", "y"]
    assert data.num_nodes == 4


def sequences(dataset):
    return [tuple(data.x.tolist()) for data in dataset]


def test_splits(root):
    train, val = (
        CLUTRR(root, split, "sequence", val_fraction=0.25, val_length=3)
        for split in ("train", "val")
    )
    assert len(train) + len(val) == len(CLUTRR_TRAIN)
    assert len(val) == 2
    assert not set(sequences(train)) & set(sequences(val))
    assert {len(x) for x in sequences(val)} == {3}
    written = {row["edge_types"]: row["target"] for row in CLUTRR_TRAIN}
    for data in [*train, *val]:
        names = [RELATIONS[relation] for relation in data.x.tolist()]
        assert written[str(names)] == RELATIONS[data.y.item()]
    other = CLUTRR(root, "val", "sequence", val_fraction=0.25, val_length=3, seed=1)
    assert set(sequences(other)) != set(sequences(val))


def test_longer_validation_chains_have_the_same_answers(root):
    """The last relation says who is meant: an uncle or an aunt."""
    args = {"val_fraction": 0.75, "val_length": 10}
    val, graphs = CLUTRR(root, "val", "sequence", **args), CLUTRR(root, "val", **args)
    lengths = {len(x) for x in sequences(val)}
    assert max(lengths) > 5
    assert min(lengths) >= 3
    for data, graph in zip(val, graphs, strict=True):
        parent, *siblings = data.x.tolist()
        assert parent in map(number, PARENTS)
        assert set(siblings) <= set(map(number, SIBLINGS))
        last = SIBLINGS.index(RELATIONS[siblings[-1]])
        assert data.y.item() == number(UNCLES[last])
        assert data.question_length.item() == len(siblings) - 1
        assert graph.edge_attr.argmax(dim=1).equal(data.x)
        assert graph.y.equal(data.y)


def test_stored_files_carry_the_arguments(root):
    CLUTRR(root, "test")
    CLUTRR(root, "val", "sequence", val_length=4, seed=3)
    names = {path.name for path in (root / "processed").glob("*.pt")}
    assert {"test-graph-v1.pt", "val-sequence-val0.15-seed3-length4-v1.pt"} <= names
    # Stored chains need no archive.
    (root / "raw" / clutrr.FILE).unlink()
    assert len(CLUTRR(root, "test")) == 9


def test_the_archive_of_the_variable_comes_first(root, tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    write_clutrr(shared / "clutrr")
    (root / "raw" / clutrr.FILE).write_bytes(b"damaged")
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(shared))
    assert len(CLUTRR(root, "test")) == 9


def test_a_missing_archive_is_fetched(tmp_path, monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    asked = []

    def fetch(url, path, sha256):
        asked.append((url, sha256))
        write_clutrr(Path(path).parent)

    monkeypatch.setattr(downloads, "fetch_raw", fetch)
    assert len(CLUTRR(tmp_path, "test")) == 9
    CLUTRR(tmp_path, "val")
    ((url, sha256),) = asked
    assert url.startswith("https://raw.githubusercontent.com/uclnlp/ctp/")
    assert url.endswith("/data_089907f8.zip")
    assert len(sha256) == 64


def test_a_damaged_archive_leaves_nothing_stored(root):
    path = root / "raw" / clutrr.FILE
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="is damaged"):
        CLUTRR(root, "test")
    assert not list((root / "processed").glob("*.pt"))


def test_too_few_sequences_are_an_error(root):
    with pytest.raises(ValueError, match="got none with `val_fraction`"):
        CLUTRR(root, "val", val_fraction=0.01)


@real_data
def test_the_published_archive(tmp_path, monkeypatch):
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(SHARED))
    test = CLUTRR(tmp_path, "test")
    sizes = [38, 105, 190, 174, 107, 144, 150, 119, 119]
    assert test._data.question_length.bincount().tolist() == sizes
    train, val = (
        CLUTRR(tmp_path, split, "sequence", val_length=3) for split in ("train", "val")
    )
    assert len(train) + len(val) == 10094
    known = set(sequences(train)) | set(sequences(val))
    assert not set(sequences(train)) & set(sequences(val))
    tested = set(sequences(CLUTRR(tmp_path, "test", "sequence")))
    assert {len(x) for x in tested & known} == {2}
    # All relations of test chains occur in training ones.
    used = torch.cat([train._data.x.unique(), test._data.edge_attr.argmax(1).unique()])
    assert set(used.tolist()) == set(train._data.x.unique().tolist())


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
        ({"target": "cousin"}, "'target' must be .*got 'cousin'"),
        ({"target": "fahter"}, "did you mean 'father'"),
        ({"target": ""}, "'target' must be .*got ''"),
        (
            {"edge_types": "['father', 'siter']"},
            "'edge_types' .*'siter'.*; did you mean 'sister'",
        ),
        ({"edge_types": "['father', 3]"}, "'edge_types' must be .*got 3"),
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
    monkeypatch.setattr(clutrr, "MAX_BYTES", 1000)
    path = write_zip(tmp_path / "data.zip", {"1.csv": "x" * 1001})
    with pytest.raises(ValueError, match="unpacks to 1001 bytes, more than 1000"):
        read_chains(path, "1.csv")


def chain(types, target):
    edges = tuple((k, k + 1) for k in range(len(types)))
    return Chain(edges, tuple(types), (0, len(types)), target)


def total(types):
    """Whole numbers from 0 to 6, composed by adding them up."""
    return sum(types) % 7


PAIRS = [chain((a, b), total((a, b))) for a in range(7) for b in range(7)]
TRIPLES = [chain((a, b, 1), total((a, b, 1))) for a in range(7) for b in range(7)] * 2


def test_a_sequence_is_in_one_split():
    rng = np.random.default_rng(0)
    train, val = split_chains([*PAIRS, *TRIPLES], 0.2, rng)
    assert len(train) + len(val) == len(PAIRS) + len(TRIPLES)
    held = {c.types for c in val}
    assert len(held) == 10
    assert len(val) == 20
    assert not held & {c.types for c in train}
    # What relations amount to is learnt from pairs: all of them stay.
    assert {c.types for c in PAIRS} <= {c.types for c in train}


def test_the_seed_chooses():
    first, again, other = (
        split_chains(TRIPLES, 0.2, np.random.default_rng(seed))[1] for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_composed_pairs():
    chains = [chain((1, 2), 3), chain((0, 3), 3), chain((1, 2), 3), chain((1, 1, 1), 3)]
    assert composed_pairs(chains) == {3: [(0, 3), (1, 2)]}


@given(
    types=st.lists(st.integers(0, 6), min_size=2, max_size=4),
    length=st.integers(2, 12),
    seed=st.integers(0, 99),
)
def test_a_lengthened_chain_has_the_same_answer(types, length, seed):
    before = chain(types, total(types))
    rng = np.random.default_rng(seed)
    after = lengthened(before, length, composed_pairs(PAIRS), rng)
    assert len(after.types) == max(length, len(types))
    assert total(after.types) == after.target == before.target
    assert after.edges == tuple((k, k + 1) for k in range(len(after.types)))
    assert after.query == (0, len(after.types))


@pytest.mark.parametrize("pairs", [{}, {5: [(1, 4)]}])
def test_what_cannot_be_replaced_stays(pairs):
    before = chain((1, 2, 3), 6)
    assert lengthened(before, 9, pairs, np.random.default_rng(0)) == before
