import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import NLVR, downloads, nlvr
from pyg_relational.datasets.nlvr import (
    COLOUR_NAMES,
    FIXED_WORDS,
    Item,
    Statement,
    parse_statement,
    read_statements,
    sentence_key,
    sentence_vocabulary,
    sentence_words,
    split_statements,
    without_sentences,
)
from tests.datasets.small_files import COLOURS, NLVR_FILES, SHAPES, write_nlvr

SPLITS = ("train", "val", "test")
SHARED = Path(
    os.environ.get("PYG_RELATIONAL_DATA")
    or Path(__file__).resolve().parents[3] / "shared" / "data"
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    for name in ("dev", "test"):
        write_nlvr(tmp_path / "raw" / f"{name}.json")
    return tmp_path


def with_train(root):
    write_nlvr(root / "raw" / "train.json")
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
    check(NLVR(root, "test"), NLVR_FILES["test"])
    train, val = (NLVR(root, split, min_count=1) for split in SPLITS[:2])
    for dataset in (train, val):
        mine = numbers(dataset)
        rows = [
            row
            for row in NLVR_FILES["dev"]
            if int(row["identifier"].split("-")[0]) in mine
        ]
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
    write_nlvr(tmp_path / "shared" / "nlvr" / "dev.json")
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
        write_nlvr(path)

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


def test_a_corrupted_line_is_named(root):
    path = root / "raw" / "dev.json"
    lines = path.read_text().split("\n")
    lines[6] = lines[6][:50]
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"^dev\.json, line 7: expected a JSON"):
        NLVR(root, "test")


@pytest.mark.parametrize(("fraction", "split"), [(0.001, "val"), (0.999, "train")])
def test_too_few_sentences_are_an_error(root, fraction, split):
    with pytest.raises(ValueError, match=f"none for '{split}' with `val_fraction`"):
        NLVR(root, val_fraction=fraction)


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


ITEM = {"x_loc": 3, "y_loc": 80, "size": 20, "type": "square", "color": "Yellow"}


def document(**changes):
    return {
        "sentence": "There is a tower.",
        "label": "true",
        "identifier": "12-3",
        "directory": "0",
        "evals": {"r0": "false"},
        "structured_rep": [[ITEM], [], [ITEM, {**ITEM, "color": "#0099ff"}]],
        **changes,
    }


def lines(*documents):
    return "".join(json.dumps(document) + "\n" for document in documents)


def test_a_statement():
    statement = parse_statement(json.dumps(document()))
    assert statement.sentence == "There is a tower."
    assert statement.identifier == (12, 3)
    assert statement.label == 1
    assert statement.boxes == (
        (Item(3, 80, 20, 1, 0),),
        (),
        (Item(3, 80, 20, 1, 0), Item(3, 80, 20, 1, 2)),
    )
    other = parse_statement(json.dumps(document(label="FALSE")))
    assert other.label == 0


def test_files_end_as_they_like(tmp_path):
    path = tmp_path / "dev.json"
    for content in (lines(document(), document()), lines(document())[:-1]):
        path.write_text(content)
        assert len(read_statements(path)) == content.count('"12-3"')
    # Another system's line ends.
    path.write_bytes(lines(document(), document()).replace("\n", "\r\n").encode())
    assert len(read_statements(path)) == 2


def boxed(**changes):
    return {"structured_rep": [[], [ITEM, {**ITEM, **changes}], []]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (json.dumps(document())[:-20], "expected a JSON document .* character"),
        ("", "expected a JSON document"),
        ("[]", "expected a JSON object"),
        (document(sentence=7), "'sentence' to be a text, got 7"),
        (document(sentence="  "), "'sentence' to have words"),
        (document(identifier=None), "'identifier' to be a text, got None"),
        (document(identifier="12"), "'identifier' to be like '12-3', got '12'"),
        (document(label="maybe"), "'label' to be one of false, true, got 'maybe'"),
        (document(label=True), "'label' to be one of false, true, got True"),
        (document(structured_rep=[[], []]), "a list of 3 boxes"),
        (document(structured_rep={}), "a list of 3 boxes"),
        (document(structured_rep=[[], 1, []]), "box 2 to be a list of objects"),
        (document(structured_rep=[[], [], [1]]), "box 3: expected an object, got 1"),
        (document(**boxed(x_loc=-1)), "box 2: expected 'x_loc' .*0 to 100, got -1"),
        (document(**boxed(y_loc=101)), "'y_loc' .*0 to 100, got 101"),
        (document(**boxed(size=math.nan)), "'size' .*got nan"),
        (document(**boxed(size="20")), "'size' to be a number .*got '20'"),
        (document(**boxed(size=True)), "'size' to be a number .*got True"),
        (
            document(**boxed(type="cube")),
            "'type' .*circle, square, triangle.*'cube'",
        ),
        (document(**boxed(color="red")), "'color' .*yellow, black, #0099ff.*'red'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    text = line if isinstance(line, str) else json.dumps(line)
    path = tmp_path / "dev.json"
    path.write_text(lines(document()) + text + "\n" + lines(document()))
    with pytest.raises(ValueError, match=f"^dev.json, line 2: .*{message}"):
        read_statements(path)


@pytest.mark.parametrize("name", ["sentence", "label", "identifier", "structured_rep"])
def test_a_missing_field_is_named(name):
    content = document()
    del content[name]
    with pytest.raises(ValueError, match=f"'{name}' is missing"):
        parse_statement(json.dumps(content))


def test_a_missing_field_of_an_object_is_named():
    content = document(structured_rep=[[{"x_loc": 1}], [], []])
    with pytest.raises(ValueError, match="box 1: 'y_loc' is missing"):
        parse_statement(json.dumps(content))


def test_bytes_that_are_no_text_are_named(tmp_path):
    path = tmp_path / "test.json"
    path.write_bytes(lines(document()).encode() + b'{"sentence": "\xff"}\n')
    with pytest.raises(ValueError, match=r"^test\.json, line 2: "):
        read_statements(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"^test\.json, line 1: "):
        read_statements(path)


NOUNS = ("tower", "towers", "block", "Blocks", "box", "circle")
SENTENCES = st.builds(
    "There {} {} {} {}{}".format,
    st.sampled_from(["is", "are"]),
    st.sampled_from(["a", "the", "2", "two", "3"]),
    st.sampled_from(["black", "blue"]),
    st.sampled_from(NOUNS),
    st.sampled_from(["", ".", " ."]),
)


def statement(sentence, scene=0):
    return Statement((0, scene), sentence, 1, ((), (), ()))


def test_words():
    said = "There are 2 Blue squeres, and ablue blccks with 10 items."
    assert sentence_words(said) == [
        *("there", "are", "two", "blue", "squeres", ",", "and", "a", "blue", "blocks"),
        *("with", "10", "items", "."),
    ]


@pytest.mark.parametrize(
    "other",
    [
        "there is a tower with 3 blocks",
        "There is the tower with three blocks.",
        "There is tower, with three block!",
    ],
)
def test_near_duplicates(other):
    assert sentence_key(other) == sentence_key("There is a tower with three blocks.")


@pytest.mark.parametrize(
    "other",
    [
        "There is a tower with four blocks.",
        "There is a tower with three black blocks.",
        "There is with three blocks a tower.",
    ],
)
def test_no_near_duplicates(other):
    assert sentence_key(other) != sentence_key("There is a tower with three blocks.")


def test_short_words_keep_their_s():
    assert sentence_key("it is as I") == "it is as i"


@given(
    st.lists(SENTENCES, min_size=1, max_size=40),
    st.floats(0.05, 0.95),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_no_sentence_is_in_two_parts(sentences, fraction, seed):
    statements = [statement(text, i) for i, text in enumerate(sentences)]
    rng = np.random.default_rng(seed)
    train, val = split_statements(statements, fraction, rng)
    assert sorted(train + val) == sorted(statements)
    keys = [{sentence_key(s.sentence) for s in part} for part in (train, val)]
    assert not keys[0] & keys[1]
    number = len(keys[0] | keys[1])
    assert len(keys[1]) == round(fraction * number)
    again = split_statements(statements[::-1], fraction, np.random.default_rng(seed))
    assert sorted(again[1]) == sorted(val)


@given(st.lists(SENTENCES, max_size=20), st.lists(SENTENCES, max_size=20))
@settings(max_examples=60, deadline=None)
def test_what_others_say_is_left_out(sentences, others):
    statements = [statement(text, i) for i, text in enumerate(sentences)]
    kept = without_sentences(statements, map(statement, others))
    known = {sentence_key(text) for text in others}
    for said in statements:
        assert (said in kept) == (sentence_key(said.sentence) not in known)


def test_vocabulary():
    said = ["a tower of blue blocks", "a tower tower over it", "it is red"]
    statements = [statement(text, i) for text in said for i in range(4)]
    vocabulary = sentence_vocabulary(statements, 2)
    # Words are counted once a sentence; those that are looked for come first.
    assert vocabulary.tokens == ("<unk>", *FIXED_WORDS, "a", "it", "tower")
    every = sentence_vocabulary(statements, 1).tokens
    assert set(every) == {"<unk>", *FIXED_WORDS, *" ".join(said).split()}
