import sqlite3
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import DigitRelations, digit_relations
from pyg_relational.datasets.digit_relations import (
    RELATIONS,
    ROWS,
    digit_from_image,
    digit_pixels,
    load_digits,
    sample_pairs,
)
from pyg_relational.train.recipe import load_recipe, resolve

# A seven, as high as the cells.
SEVEN = torch.tensor(
    [
        [0, 1, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0, 0],
    ]
)


def picture(ink, paper, scale, margins):
    """The seven in a picture, `[3, H, W]`."""
    left, right, top, bottom = margins
    digit = SEVEN.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    digit = functional.pad(digit, (left, right, top, bottom))
    grey = torch.where(digit == 1, ink, paper).to(torch.uint8)
    return grey.expand(3, -1, -1)


margins = st.tuples(*[st.integers(1, 40)] * 4)


@given(st.booleans(), st.sampled_from([4, 8, 12]), margins)
def test_place_size_and_colours_of_the_digit_do_not_count(dark, scale, margins):
    ink, paper = (30, 220) if dark else (250, 90)
    seen = digit_from_image(picture(ink, paper, scale, margins))
    assert seen.dtype == torch.uint8
    assert torch.equal(seen, (SEVEN * 16).to(torch.uint8))


def test_wide_ink_keeps_its_shape():
    image = torch.full((3, 20, 60), 255, dtype=torch.uint8)
    image[:, 8:12, 10:50] = 0
    seen = digit_from_image(image)
    assert seen.sum(dim=1).nonzero().flatten().tolist() == [3, 4]
    assert (seen.sum(dim=0) > 0).all()


def test_colour_counts_as_brightness():
    image = picture(0, 255, 4, (4, 4, 4, 4)).clone()
    image[2] = 255
    assert torch.equal(digit_from_image(image), (SEVEN * 16).to(torch.uint8))


@pytest.mark.parametrize("ink", [255, 230, 210])
def test_blank_paper_is_named(ink):
    image = picture(ink, 255, 4, (4, 4, 4, 4))
    with pytest.raises(ValueError, match=r"'a\.png' shows no digit: .* of 255"):
        digit_from_image(image, "a.png")


def test_counts_become_bytes():
    counts = torch.tensor([[[0, 8], [16, 1]]], dtype=torch.uint8)
    assert digit_pixels(counts).tolist() == [[[[0, 128], [255, 16]]]]
    assert digit_pixels(counts.numpy()).dtype == torch.uint8


pytest.importorskip("sklearn", reason="needs the extra data")
Image = pytest.importorskip("PIL.Image", reason="needs the extra vision")
needs_network = pytest.mark.skipif(
    find_spec("efficientnet_lite_pytorch") is None, reason="needs the extra vision"
)
SIZES = {"num_train": 50, "num_val": 20, "num_test": 25}


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return str(tmp_path_factory.mktemp("digits"))


@pytest.fixture
def build(root):
    def build(split="train", **kwargs):
        return DigitRelations(root, split, **{**SIZES, **kwargs})

    return build


def relation(first, second):
    """The definition, case by case."""
    if first == second:
        return "same"
    if second == first + 1:
        return "one more"
    if second == first - 1:
        return "one less"
    return "larger" if second > first else "smaller"


@pytest.mark.parametrize("split", ROWS)
def test_answers_are_right_and_images_are_those_of_the_digits(build, split):
    dataset = build(split, representation="images")
    assert len(dataset) == SIZES[f"num_{split}"]
    digits, labels = load_digits()
    known = {
        image.tobytes(): label for image, label in zip(digits, labels, strict=True)
    }
    for data, pair in zip(dataset, dataset.pairs.tolist(), strict=True):
        first, second = data.digits.tolist()
        assert RELATIONS[data.y] == relation(first, second)
        assert data.question_relation.tolist() == data.y.tolist()
        assert pair[0] != pair[1]
        assert torch.equal(data.x, digit_pixels(digits[pair]))
        found = [known[digits[row].tobytes()] for row in pair]
        assert found == [first, second]
        assert data.edge_label_index.tolist() == [[0], [1]]


def test_relations_are_equally_many(build):
    for split, count in (("train", 10), ("test", 5)):
        assert (
            build(split, representation="images").y.bincount().tolist() == [count] * 5
        )


def test_splits_share_no_form():
    _, labels = load_digits()
    # Every form is filled in the same order; some begin one digit late.
    start = [*range(10)] * 2
    for first, end in ROWS.values():
        assert labels[first : first + 20].tolist() == start
        assert end == 1797 or labels[end : end + 20].tolist() == start
    bounds = [bound for split in ROWS.values() for bound in split]
    assert bounds == [0, 1157, 1157, 1415, 1415, 1797]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 300), st.integers(2, 5))
def test_pairs_of_any_labels(seed, count, copies):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(10), copies))
    rows, relations = sample_pairs(labels, count, rng)
    assert (rows[:, 0] != rows[:, 1]).all()
    for (first, second), number in zip(labels[rows], relations, strict=True):
        assert RELATIONS[number] == relation(first, second)
    sizes = np.bincount(relations, minlength=5)
    assert sizes.max() - sizes.min() <= 1


def test_every_image_and_digit_is_drawn():
    labels = np.repeat(np.arange(10), 4)
    rows, relations = sample_pairs(labels, 20000, np.random.default_rng(0))
    counts = np.bincount(rows.flatten(), minlength=40).reshape(10, 4)
    assert (counts > 0.7 * counts.mean(axis=1, keepdims=True)).all()
    for number, name in enumerate(RELATIONS):
        pairs = np.unique(labels[rows[relations == number]], axis=0)
        assert len(pairs) == {"same": 10, "one more": 9, "one less": 9}.get(name, 36)


def test_the_seed_and_the_split_decide_the_pairs(build):
    first = build(representation="images")
    assert torch.equal(first.pairs, build(representation="pixels").pairs)
    assert torch.equal(first.pairs, build(num_test=7, representation="pixels").pairs)
    assert not torch.equal(first.pairs, build(seed=1, representation="pixels").pairs)


def test_pixels_are_scaled_by_the_training_digits(build):
    digits, _ = load_digits()
    pixels = torch.from_numpy(digits).flatten(1).double()
    training = pixels[:1157]
    deviation = training.std(dim=0, correction=0)
    deviation[deviation == 0] = 1
    for split in ROWS:
        dataset = build(split, representation="pixels")
        expected = (pixels - training.mean(dim=0)) / deviation
        for data, pair in zip(dataset[:5], dataset.pairs[:5], strict=True):
            torch.testing.assert_close(
                data.x.double(), expected[pair], atol=1e-4, rtol=0
            )


@needs_network
def test_features_are_those_of_the_network_and_kept(build, root, monkeypatch):
    dataset = build("test")
    data = dataset[3]
    assert data.x.shape == (2, 960)
    network = digit_relations.EfficientNetLite0((3, 4)).eval()
    digits, _ = load_digits()
    image = digit_pixels(digits).float().expand(-1, 3, -1, -1) / 255
    with torch.no_grad():
        scaled = torch.nn.functional.interpolate(
            torch.cat([image[:1157], image[dataset.pairs[3]]]),
            (32, 32),
            mode="bilinear",
        )
        rows = torch.cat([values.flatten(1) for values in network(scaled)], dim=1)
    expected = (rows[-2:] - rows[:1157].mean(0)) / rows[:1157].std(0, correction=0)
    torch.testing.assert_close(data.x, expected, atol=1e-2, rtol=1e-2)
    # A table of features, not features of every pair.
    assert dataset.table.shape == (1797, 960)
    monkeypatch.setattr(
        digit_relations, "EfficientNetLite0", lambda stages: pytest.fail("again")
    )
    assert torch.equal(build("test", seed=1).table, dataset.table)


@needs_network
def test_a_damaged_entry_of_the_features_is_computed_again(build, root):
    dataset = build("val")
    connection = sqlite3.connect(Path(root, "embeddings", "embeddings.sqlite3"))
    connection.execute(
        "UPDATE embeddings SET content = zeroblob(4) WHERE key = "
        "(SELECT key FROM embeddings LIMIT 1)"
    )
    connection.commit()
    connection.close()
    with pytest.warns(UserWarning, match="is damaged; it is computed again"):
        again = build("val")
    torch.testing.assert_close(again.table, dataset.table, atol=1e-3, rtol=1e-3)


def test_batches_keep_pairs_apart(build):
    dataset = build(representation="pixels")
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    assert batch.edge_label_index.tolist() == [[0, 2, 4], [1, 3, 5]]
    assert torch.equal(batch.x[4:], dataset[2].x)
    assert batch.y.tolist() == dataset.y[:3].tolist()


def save(path, number, invert=False):
    """A digit of the test split as a photograph: larger, on paper with an edge."""
    digits, _ = load_digits()
    grey = 255 - digits[number].astype(int) * 255 // 16
    large = Image.fromarray(grey.astype(np.uint8)).resize((160, 160), Image.BICUBIC)
    paper = Image.new("L", (300, 260), 255)
    paper.paste(large, (60, 50))
    if invert:
        paper = paper.point(lambda value: 255 - value)
    paper.save(path)
    return str(path)


def test_files_of_the_user_become_a_sample(build, tmp_path):
    files = [save(tmp_path / "a.png", 1420), save(tmp_path / "b.png", 1500, True)]
    own = DigitRelations.data_from_inputs(files, root="unused", representation="images")
    digits, _ = load_digits()
    sample = build("test", representation="images")[0]
    assert own.edge_label_index.tolist() == sample.edge_label_index.tolist()
    assert own.y.shape == sample.y.shape
    assert torch.equal(own.x, digit_pixels(own.seen))
    # Ink is ink or none there, so counts differ a little.
    difference = own.seen.float() - torch.from_numpy(digits[[1420, 1500]]).float()
    assert difference.abs().mean() < 2


def test_files_and_stored_digits_are_encoded_alike(build, tmp_path, monkeypatch):
    digits, _ = load_digits()
    numbers = [1420, 1500]
    monkeypatch.setattr(
        digit_relations,
        "digit_from_image",
        lambda image, name: torch.from_numpy(digits[numbers.pop(0)]),
    )
    files = [save(tmp_path / "a.png", 1420)] * 2
    own = DigitRelations.data_from_inputs(
        files, root="unused", representation="pixels", seed=0, num_train=3
    )
    table = build("test", representation="pixels").table
    torch.testing.assert_close(own.x, table[[1420, 1500]])


def test_wrong_files_are_named(tmp_path):
    good = save(tmp_path / "a.png", 1420)
    for files in ([], [good], [good] * 3):
        with pytest.raises(ValueError, match=f"two image files, got {len(files)}"):
            DigitRelations.data_from_inputs(files, root="unused")
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        DigitRelations.data_from_inputs([good, "none.png"], root="unused")
    Image.new("L", (40, 40), 255).save(tmp_path / "blank.png")
    blank = str(tmp_path / "blank.png")
    with pytest.raises(ValueError, match=r"blank\.png' shows no digit"):
        DigitRelations.data_from_inputs([good, blank], root="unused")


@needs_network
def test_the_recipe_knows_the_width_of_the_rows(build):
    recipe = load_recipe("digits")
    for name in recipe["models"]:
        config = resolve(recipe, model=name)
        arguments = {**config["dataset"]["args"], "num_train": 5}
        data = build("train", **arguments)[0]
        assert data.x.size(1) == config["model"]["args"]["in_channels"], name
