import csv
import io
import os
import zipfile
from pathlib import Path

import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import CLUTRR, clutrr, downloads
from pyg_relational.datasets.clutrr import COLUMNS, RELATIONS

SHARED = Path(
    os.environ.get("PYG_RELATIONAL_DATA")
    or Path(__file__).resolve().parents[3] / "shared" / "data"
)
real_data = pytest.mark.skipif(
    not (SHARED / "clutrr" / clutrr.FILE).is_file(),
    reason="needs the CLUTRR archive: set PYG_RELATIONAL_DATA",
)


def story(types, target, edges=None, query=None):
    edges = edges or [(k, k + 1) for k in range(len(types))]
    row = dict.fromkeys(COLUMNS, "text")
    return row | {
        "target": target,
        "story_edges": str(edges),
        "edge_types": str(list(types)),
        "query_edge": str(query or (0, len(types))),
    }


PARENTS = ("father", "mother")
SIBLINGS = ("brother", "sister")
UNCLES = ("uncle", "aunt")
# A sibling's sibling is one, and so is a parent's sibling's sibling an uncle or aunt.
TRAIN = [
    *(story((p, s), UNCLES[k]) for p in PARENTS for k, s in enumerate(SIBLINGS)),
    *(story((s, t), t) for s in SIBLINGS for t in SIBLINGS),
    *(
        story((p, s, t), UNCLES[k])
        for p in PARENTS
        for s in SIBLINGS
        for k, t in enumerate(SIBLINGS)
    ),
]
TEST = {
    2: [story(("mother", "sister"), "aunt")],
    # The brother of the first person's father is met twice.
    4: [
        story(
            ("father", "brother", "brother", "sister"),
            "aunt",
            [(0, 1), (1, 2), (2, 1), (1, 3)],
            (0, 3),
        )
    ],
}


def make_archive(folder):
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"1.2,1.3_train.csv": TRAIN}
    for n in range(2, 11):
        other = [story(("mother", *["sister"] * (n - 1)), "aunt")]
        tables[f"1.{n}_test.csv"] = TEST.get(n, other)
    with zipfile.ZipFile(folder / clutrr.FILE, "w") as archive:
        for name, rows in tables.items():
            text = io.StringIO(newline="")
            writer = csv.DictWriter(text, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
            archive.writestr(name, text.getvalue())


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    make_archive(tmp_path / "raw")
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
    assert len(train) + len(val) == len(TRAIN)
    assert len(val) == 2
    assert not set(sequences(train)) & set(sequences(val))
    assert {len(x) for x in sequences(val)} == {3}
    written = {row["edge_types"]: row["target"] for row in TRAIN}
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
    make_archive(shared / "clutrr")
    (root / "raw" / clutrr.FILE).write_bytes(b"damaged")
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(shared))
    assert len(CLUTRR(root, "test")) == 9


def test_a_missing_archive_is_fetched(tmp_path, monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    asked = []

    def fetch(url, path, sha256):
        asked.append((url, sha256))
        make_archive(Path(path).parent)

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


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"split": "valid"}, ValueError, "Unknown split 'valid'; did you mean 'val'"),
        ({"representation": "graphs"}, ValueError, "did you mean 'graph'"),
        ({"val_fraction": 1.0}, ValueError, "above 0 and below 1, got 1.0"),
        ({"val_fraction": True}, TypeError, "`val_fraction` to be a number"),
        ({"val_length": 11}, ValueError, "`val_length` to be from 3 to 10, got 11"),
        ({"val_length": "4"}, TypeError, "`val_length` to be an integer"),
        ({"seed": -1}, ValueError, "`seed` to be at least 0, got -1"),
        ({"split": "val", "val_fraction": 0.01}, ValueError, "got none with"),
    ],
)
def test_wrong_arguments(root, kwargs, error, message):
    with pytest.raises(error, match=message):
        CLUTRR(root, **kwargs)


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
