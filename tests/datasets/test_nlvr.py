import json
import os
from pathlib import Path

import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import NLVR, downloads, nlvr
from pyg_relational.datasets.nlvr import (
    COLOUR_NAMES,
    read_statements,
    sentence_key,
    sentence_words,
)

SPLITS = ("train", "val", "test")
SHARED = Path(
    os.environ.get("PYG_RELATIONAL_DATA")
    or Path(__file__).resolve().parents[3] / "shared" / "data"
)
NUMBERS = ("one", "two", "three", "four", "five")
SHAPES = ("circle", "square", "triangle")
COLOURS = ("Yellow", "Black", "#0099ff")


def item(k):
    return {
        "x_loc": k,
        "y_loc": 2 * k,
        "size": 10 * (1 + k % 3),
        "type": SHAPES[k % 3],
        "color": COLOURS[k % 2],
    }


def block(k):
    return {"x_loc": 40, "y_loc": 80 - 21 * k, "size": 20, "type": "square"} | {
        "color": COLOURS[k % 3]
    }


def documents(start, count, scenes=4):
    """Sentences, each with four scenes; every other one is about towers."""
    rows = []
    for n in range(start, start + count):
        for m in range(scenes):
            make = block if n % 2 else item
            boxes = [[make(k) for k in range(size)] for size in (m, 0, 1 + n % 3)]
            text = f"There are {NUMBERS[n % 5]} things of kind q{n}."
            label = "true" if (n + m) % 3 else "false"
            row = {"sentence": text, "label": label, "identifier": f"{n}-{m}"}
            rows.append({**row, "structured_rep": boxes})
    return rows


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


FILES = {
    # Sentences 0 to 19, 18 to 22, and 12 to 49: some are in several files.
    "dev": documents(0, 20),
    "test": documents(18, 5),
    "train": documents(12, 38),
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    for name in ("dev", "test"):
        write(tmp_path / "raw" / f"{name}.json", FILES[name])
    return tmp_path


def with_train(root):
    write(root / "raw" / "train.json", FILES["train"])
    return root


def numbers(dataset):
    """The numbers of the sentences of a split."""
    return set(dataset._data.identifier[:, 0].tolist())


def boxes_of(data):
    """The objects of a sample as the files write them."""
    boxes = [[], [], []]
    for row, box in zip(data.x.tolist(), data.box.tolist(), strict=True):
        assert row[9:] == [float(box == k) for k in range(3)]
        boxes[box].append(
            {
                "x_loc": round(100 * row[0]),
                "y_loc": round(100 * row[1]),
                "size": round(100 * row[2]),
                "type": SHAPES[row[3:6].index(1)],
                "color": COLOURS[row[6:9].index(1)],
            }
        )
    return boxes


def check(dataset, rows):
    """The dataset holds the statements of a file, in order."""
    assert len(dataset) == len(rows)
    for data, row in zip(dataset, rows, strict=True):
        assert boxes_of(data) == row["structured_rep"]
        n, m = row["identifier"].split("-")
        assert data.identifier.tolist() == [[int(n), int(m)]]
        assert data.y.tolist() == [int(row["label"] == "true")]
        known = dataset.vocabulary
        words = sentence_words(row["sentence"])
        expected = [word if word in known else "<unk>" for word in words]
        assert known.decode(data.sentence) == expected


def test_statements_are_those_of_the_file(root):
    check(NLVR(root, "test"), FILES["test"])
    train, val = (NLVR(root, split, min_count=1) for split in SPLITS[:2])
    for dataset in (train, val):
        mine = numbers(dataset)
        rows = [r for r in FILES["dev"] if int(r["identifier"].split("-")[0]) in mine]
        check(dataset, rows)


def test_fields(root):
    dataset = NLVR(root, "test")
    assert str(dataset) == "NLVR(20)"
    data = dataset[1]
    # Sentence 18, scene 1: one object in the first box, and one in the last.
    assert data.x.shape == (2, 12)
    assert data.x.dtype == torch.float
    assert data.box.tolist() == [0, 2]
    assert data.sentence.dtype == data.y.dtype == data.box.dtype == torch.long
    assert data.num_nodes == 2
    assert dataset.num_tokens == len(dataset.vocabulary)
    assert dataset.num_answers == 2
    batch = next(iter(DataLoader(dataset, batch_size=4, follow_batch=["sentence"])))
    assert batch.y.shape == batch.question_scene.shape == (4,)
    assert batch.identifier.shape == (4, 2)
    assert batch.sentence.shape == batch.sentence_batch.shape
    assert batch.x.size(0) == batch.box.numel() == batch.batch.numel()


def test_towers_and_scattered_objects(root):
    dataset = NLVR(root, "test")
    assert dataset.metric_groups() == {"scene": ("tower", "scatter")}
    for data in dataset:
        n, m = data.identifier[0].tolist()
        # A single square would be a tower; a single object of sentence 18 is none.
        assert data.question_scene.tolist() == [0 if n % 2 else 1], (n, m)


def test_no_sentence_is_in_two_splits(root):
    for seed in range(3):
        train, val, test = (numbers(NLVR(root, split, seed=seed)) for split in SPLITS)
        assert test == {18, 19, 20, 21, 22}
        assert train | val == set(range(18))
        assert not train & val
        assert len(val) == 4
    assert len(numbers(NLVR(root, "val", val_fraction=0.5))) == 9
    chosen = {tuple(numbers(NLVR(root, "val", seed=seed))) for seed in range(4)}
    assert len(chosen) > 1


def test_training_on_train_json(root):
    with_train(root)
    train, val, test = (
        numbers(NLVR(root, split, train_on="train")) for split in SPLITS
    )
    assert test == {18, 19, 20, 21, 22}
    assert val == set(range(18))
    assert train == set(range(23, 50))


def test_words_alone(root):
    for split in SPLITS:
        objects = NLVR(root, split)
        words = NLVR(root, split, representation="words")
        assert set(words[0].keys()) == {"x", "y", "identifier", "question_scene"}
        for a, b in zip(objects, words, strict=True):
            assert torch.equal(a.sentence, b.x)
            assert torch.equal(a.y, b.y)


def test_words_are_those_of_training(root):
    train, test = NLVR(root, min_count=1), NLVR(root, "test", min_count=1)
    assert train.vocabulary.tokens == test.vocabulary.tokens
    kinds = {word for word in train.vocabulary.tokens if word[:1] == "q"}
    assert kinds == {f"q{n}" for n in numbers(train)}
    # Each of them is in one sentence only.
    assert not [w for w in NLVR(root).vocabulary.tokens if w[:1] == "q"]


def test_files_may_lie_elsewhere(root, tmp_path, monkeypatch):
    write(tmp_path / "shared" / "nlvr" / "dev.json", FILES["dev"])
    (root / "raw" / "dev.json").unlink()
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(tmp_path / "shared"))
    # One file here, the other there.
    assert len(NLVR(root, "test")) == 20
    assert not (root / "raw" / "dev.json").exists()


def test_missing_files_are_fetched(tmp_path, monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    fetched = []

    def fetch(url, path, sha256):
        fetched.append((url, sha256))
        write(path, FILES[path.stem])

    monkeypatch.setattr(downloads, "fetch_raw", fetch)
    NLVR(tmp_path, "test")
    assert fetched == [
        (f"{nlvr.URL}/{name}/{name}.json", nlvr.SHA256[name])
        for name in ("dev", "test")
    ]
    NLVR(tmp_path, "test")
    assert len(fetched) == 2
    NLVR(tmp_path, "test", train_on="train")
    assert fetched[2:] == [(f"{nlvr.URL}/train/train.json", None)]


def test_every_argument_is_in_the_file_name(root):
    variants = [
        {},
        {"split": "val"},
        {"representation": "words"},
        {"min_count": 1},
        {"val_fraction": 0.25},
        {"seed": 1},
        {"pre_filter": bool},
    ]
    names = {NLVR(root, **kwargs).processed_file_names for kwargs in variants}
    names.add(NLVR(with_train(root), train_on="train").processed_file_names)
    assert len(names) == len(variants) + 1


def test_filter_and_transform_are_applied(root):
    dataset = NLVR(
        root,
        pre_filter=lambda data: bool(data.y),
        pre_transform=lambda data: data.update({"sizes": data.x[:, 2]}),
    )
    assert dataset._data.y.all()
    assert torch.equal(dataset[3].sizes, dataset[3].x[:, 2])


def test_a_damaged_file_is_made_again(root):
    dataset = NLVR(root)
    path = Path(dataset.processed_paths[0])
    path.write_bytes(path.read_bytes()[:-10])
    assert torch.equal(NLVR(root)._data.x, dataset._data.x)


def test_a_corrupted_line_is_named(root):
    path = root / "raw" / "dev.json"
    lines = path.read_text().split("\n")
    lines[6] = lines[6][:50]
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"^dev\.json, line 7: expected a JSON"):
        NLVR(root, "test")


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"split": "tset"}, ValueError, "did you mean 'test'"),
        ({"train_on": "trian"}, ValueError, "did you mean 'train'"),
        ({"representation": "word"}, ValueError, "'words'"),
        ({"min_count": 0}, ValueError, "at least 1"),
        ({"min_count": 2.0}, TypeError, "integer"),
        ({"val_fraction": 0}, ValueError, "above 0 and below 1, got 0"),
        ({"val_fraction": 1.0}, ValueError, "above 0 and below 1"),
        ({"val_fraction": float("nan")}, ValueError, "got nan"),
        ({"val_fraction": "0.1"}, TypeError, "a number"),
        ({"val_fraction": 0.001}, ValueError, "none for 'val' with `val_fraction`"),
        ({"val_fraction": 0.999}, ValueError, "none for 'train' with"),
        ({"seed": -1}, ValueError, "at least 0"),
    ],
)
def test_bad_arguments(root, kwargs, error, message):
    with pytest.raises(error, match=message):
        NLVR(root, **kwargs)


@pytest.mark.skipif(
    not (SHARED / "nlvr" / "dev.json").is_file(), reason="NLVR is not at hand"
)
def test_the_published_files(tmp_path, monkeypatch):
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(SHARED))
    train, val, test = (NLVR(tmp_path, split) for split in SPLITS)
    # 139 of the 989 statements of dev.json have a sentence of test.json.
    assert (len(train), len(val), len(test)) == (677, 173, 990)
    assert int(test._data.y.sum()) == 556
    assert test._data.question_scene.bincount().tolist() == [712, 278]
    colours = {name: k for k, name in enumerate(COLOUR_NAMES)}
    assert [colours[name.lower()] for name in COLOURS] == [0, 1, 2]
    rows = (SHARED / "nlvr" / "test.json").read_text().splitlines()
    check(test, [json.loads(row) for row in rows])
    files = [read_statements(SHARED / "nlvr" / f"{n}.json") for n in ("dev", "test")]
    key = {s.identifier: sentence_key(s.sentence) for s in (*files[0], *files[1])}
    keys = [
        {key[tuple(pair)] for pair in part._data.identifier.tolist()}
        for part in (train, val, test)
    ]
    assert not keys[0] & keys[1]
    assert not (keys[0] | keys[1]) & keys[2]
