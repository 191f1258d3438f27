"""Classical baselines: what a model should beat, on the same splits.

A reference is fitted to the training split, settles its one setting on the validation
split, and returns for the test split what a model would: one row for each row of ``y``,
logits or values.
"""

import importlib
import itertools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational._checks import UsageError, nearest_names
from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.train.module import task_of

# The words of samples, for a reference that counts them.


def word_rows(split: Any) -> list[list[int]]:
    """Return the numbers of the words of each sample: ``sentence``, else ``x``."""
    name = "sentence" if "sentence" in split[0] else "x"
    first, y = split[0].get(name), split[0].y
    if first is None:
        held = ", ".join(sorted(split[0].keys()))
        raise UsageError(
            f"reference 'bag-of-words' needs numbers of words 'x' or 'sentence'; the "
            f"samples hold {held}"
        )
    if first.dim() != 1 or first.is_floating_point() or y.shape != (1,):
        raise UsageError(
            f"reference 'bag-of-words' needs numbers of words {name} [T] and one class "
            f"y [1] in each sample, got {name} {list(first.shape)} of {first.dtype} "
            f"and y {list(y.shape)}"
        )
    return [sample[name].tolist() for sample in split]


def words_and_bigrams(ids: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the words of a text and its pairs of neighbours."""
    return [*((i,) for i in ids), *itertools.pairwise(ids)]


# How alike two nodes of a temporal graph move.


def pair_correlations(x: Tensor, mask: Tensor, pairs: Tensor) -> Tensor:
    r"""Return the correlation over time of each feature of two nodes.

    .. math::
        \rho_{ij,f} = \frac{\sum_t (x_{itf} - \bar{x}_{if}) (x_{jtf} - \bar{x}_{jf})}
        {\sqrt{\sum_t (x_{itf} - \bar{x}_{if})^2 \sum_t (x_{jtf} - \bar{x}_{jf})^2}}

    Sums and means are over the frames that both nodes are in. A feature that does not
    change in them correlates with nothing: 0."""
    # [2, P, T, F]
    ends = x.double()[pairs]
    both = mask[pairs].all(dim=0)[..., None]
    # What is absent may not be a number.
    ends = torch.where(both, ends, 0.0)
    frames = both.sum(dim=1, keepdim=True)
    centred = torch.where(both, ends - ends.sum(dim=2, keepdim=True) / frames, 0.0)
    # [2, P, F]
    length = centred.norm(dim=2)
    # Of a constant, rounding may leave something.
    still = length <= 1e-9 * ends.norm(dim=2)
    product = (centred[0] * centred[1]).sum(dim=1)
    scale = torch.where(still, torch.inf, length).prod(dim=0)
    return product / scale


def pair_rows(sample: Any) -> Tensor:
    """Return the correlations of the pairs that a sample asks about."""
    pairs, y = sample.get("edge_label_index"), sample.get("y")
    if not isinstance(sample, TemporalGraph) or pairs is None or y is None:
        raise UsageError(
            "reference 'correlation' needs temporal graphs with 'edge_label_index' and "
            f"'y', got {type(sample).__name__} with {', '.join(sorted(sample.keys()))}"
        )
    if y.shape != pairs.shape[1:] or y.is_floating_point():
        raise UsageError(
            "reference 'correlation' needs one class y [P] for each pair of "
            f"edge_label_index [2, P], got y {list(y.shape)} of {y.dtype} and "
            f"{list(pairs.shape)}"
        )
    return pair_correlations(sample["x"], sample["mask"], pairs)


# The rows of a split that references are fitted to.


def attribute(sample: Data, name: str) -> Tensor:
    """Return an attribute of a sample."""
    value: Tensor | None = sample.get(name)
    if value is None:
        held = ", ".join(sorted(sample.keys()))
        raise UsageError(f"this reference needs '{name}'; the samples hold {held}")
    return value


def concatenated(split: Any, name: str) -> Tensor:
    """Return an attribute of all samples, one after the other."""
    return torch.cat([attribute(sample, name) for sample in split])


def target_values(split: Any) -> Tensor:
    """Return the values ``y`` :math:`(R, C)` of all samples."""
    y = concatenated(split, "y")
    if y.dim() != 2 or not y.is_floating_point():
        raise UsageError(
            f"this reference needs values y [R, C], got {list(y.shape)} of {y.dtype}"
        )
    return y


def cosine_rows(split: Any) -> Tensor:
    """Return the cosine of the two embeddings of each sample, :math:`(R, 1)`."""
    return torch.stack([_cosine(sample) for sample in split]).unsqueeze(1)


def flat_rows(*splits: Any) -> list[Any]:
    """Of each split, the steps that each row of ``y`` is told from, side by side."""
    if not isinstance(splits[0][0], TemporalGraph):
        return [_flat_sequences(split) for split in splits]
    length = min(int(sample.num_frames) for split in splits for sample in split)
    return [torch.cat([_last(x, length) for x in split]).numpy() for split in splits]


def _cosine(sample: Data) -> Tensor:
    x, side = attribute(sample, "x"), sample.get("side")
    if side is not None:
        x = torch.stack([x[side == part].mean(dim=0) for part in (0, 1)])
    if x.dim() != 2 or x.size(0) != 2 or not x.is_floating_point():
        raise UsageError(
            f"reference 'cosine' needs two embeddings x [2, F], got {list(x.shape)} of "
            f"{x.dtype}"
        )
    return torch.cosine_similarity(x[0], x[1], dim=0)


def _last(sample: TemporalGraph, length: int) -> Tensor:
    x, mask = attribute(sample, "x"), attribute(sample, "mask")
    # The features of an absent node may be anything.
    x = torch.where(mask.unsqueeze(2), x, 0.0)
    # [N, T, F] -> [N, length * F]
    return x[:, x.size(1) - length :].flatten(1)


def _flat_sequences(split: Any) -> Any:
    length = concatenated(split, "length")
    x = concatenated(split, "x")
    steps = int(length[0])
    if x.dim() != 2 or (length != steps).any():
        raise UsageError(
            "reference 'ridge' needs sequences x [S, F] of one length, got "
            f"x {list(x.shape)} and lengths from {int(length.min())} to "
            f"{int(length.max())}"
        )
    # [R * steps, F] -> [R, steps * F]
    return x.reshape(len(length), -1).numpy()


Reference = Callable[[Any, Any, Any], Tensor]
# Inverse strength of the penalty of the logistic regression.
C_VALUES = (0.3, 1.0, 3.0, 10.0, 30.0)
ALPHA_VALUES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)


def reference_of(name: str) -> Reference:
    """Return the reference with this name."""
    if name not in REFERENCES:
        hint = nearest_names(name, REFERENCES)
        raise UsageError(f"unknown reference '{name}'; {hint}")
    return REFERENCES[name]


def bag_of_words(train: Any, val: Any, test: Any) -> Tensor:
    """Return the logits of a logistic regression on words and pairs of neighbours.

    Words and bigrams are weighted by tf-idf; the strength of the penalty is the one
    with the best validation accuracy."""
    text = _sklearn("feature_extraction.text")
    words = [word_rows(split) for split in (train, val, test)]
    counter = text.TfidfVectorizer(analyzer=words_and_bigrams, sublinear_tf=True)
    x = counter.fit_transform(words[0])
    rows = [x, counter.transform(words[1]), counter.transform(words[2])]
    return _logistic(rows, [concatenated(split, "y") for split in (train, val, test)])


def correlation(train: Any, val: Any, test: Any) -> Tensor:
    """Return the logits of a logistic regression on how alike two nodes move.

    A pair is told from the correlations over time of each feature of its nodes; the
    strength of the penalty is the one with the best validation accuracy."""
    splits = (train, val, test)
    rows = [torch.cat([pair_rows(x) for x in split]).numpy() for split in splits]
    return _logistic(rows, [concatenated(split, "y") for split in splits])


def majority(train: Any, val: Any, test: Any) -> Tensor:
    """Return the share of each class among the training targets, for every row."""
    y, y_test = concatenated(train, "y"), concatenated(test, "y")
    if y.is_floating_point() or y.dim() != 1:
        raise UsageError(
            f"reference 'majority' needs classes y [R], got {list(y.shape)} of "
            f"{y.dtype}"
        )
    count = torch.bincount(y, minlength=int(y_test.max()) + 1)
    return (count / len(y)).expand(len(y_test), -1).clone()


def mean(train: Any, val: Any, test: Any) -> Tensor:
    """Return the mean of the training targets, of each entity where there are any.

    An entity that training does not show gets the mean of all of them."""
    y = target_values(train)
    overall = y.mean(dim=0)
    rows = len(target_values(test))
    if "entity" not in train[0]:
        return overall.expand(rows, -1).clone()
    seen, wanted = concatenated(train, "entity"), concatenated(test, "entity")
    size = int(torch.cat([seen, wanted]).max()) + 1
    count = torch.bincount(seen, minlength=size).unsqueeze(1)
    total = y.new_zeros(size, y.size(1)).index_add_(0, seen, y)
    means = torch.where(count > 0, total / count.clamp(min=1), overall)
    return means[wanted]


def naive(train: Any, val: Any, test: Any) -> Tensor:
    """Return the test split's own naive forecast, for which nothing is fitted."""
    return _own_forecast(test, "naive_forecast")


def seasonal_naive(train: Any, val: Any, test: Any) -> Tensor:
    """Return the values of one season before, for which nothing is fitted."""
    return _own_forecast(test, "seasonal_forecast")


def cosine(train: Any, val: Any, test: Any) -> Tensor:
    """Return the logits of a logistic regression on the cosine of two embeddings.

    With one number to go by, each class gets one interval of it: thresholds. Where
    samples hold tokens, a sentence is the mean of its own."""
    splits = (train, val, test)
    rows = [cosine_rows(split).numpy() for split in splits]
    return _logistic(rows, [concatenated(split, "y") for split in splits])


def constant_velocity(train: Any, val: Any, test: Any) -> Tensor:
    """Return the places that lead on from the last step, for which nothing is
    fitted."""
    return _own_forecast(test, "constant_velocity")


def ridge(train: Any, val: Any, test: Any) -> Tensor:
    """Return the values of a ridge regression on all steps of a sequence at once.

    One regression a column of ``y``, shared by all entities; the penalty is the one
    with the smallest validation error. Where temporal graphs are of different length,
    the last frames are read, as many as the shortest has; what is absent there is 0."""
    linear = _sklearn("linear_model")
    x, x_val, x_test = flat_rows(train, val, test)
    y, y_val = target_values(train).numpy(), target_values(val)
    score = task_of(getattr(val, "task", "regression")).score
    columns = []
    for column in range(y.shape[1]):

        def error(model: Any, target: Tensor = y_val[:, column]) -> float:
            return float(score(torch.from_numpy(model.predict(x_val)), target).mean())

        models = [linear.Ridge(alpha=a).fit(x, y[:, column]) for a in ALPHA_VALUES]
        columns.append(torch.from_numpy(min(models, key=error).predict(x_test)))
    return torch.stack(columns, dim=1).float()


REFERENCES: dict[str, Reference] = {
    "bag-of-words": bag_of_words,
    "constant-velocity": constant_velocity,
    "correlation": correlation,
    "cosine": cosine,
    "majority": majority,
    "mean": mean,
    "naive": naive,
    "ridge": ridge,
    "seasonal-naive": seasonal_naive,
}


def _logistic(x: Sequence[Any], y: Sequence[Tensor]) -> Tensor:
    """Logits for the last of three splits."""
    linear = _sklearn("linear_model")

    def accuracy(model: Any) -> float:
        return float(model.score(x[1], y[1].numpy()))

    models = [
        linear.LogisticRegression(C=c, max_iter=1000).fit(x[0], y[0].numpy())
        for c in C_VALUES
    ]
    best = max(models, key=accuracy)
    logits = torch.from_numpy(best.predict_log_proba(x[2])).float()
    # Classes that training never shows have no chance.
    size = int(torch.cat(list(y)).max()) + 1
    output = torch.full((len(logits), size), torch.finfo(logits.dtype).min)
    output[:, torch.from_numpy(best.classes_)] = logits
    return output


def _own_forecast(test: Any, method: str) -> Tensor:
    if not hasattr(test, method):
        raise UsageError(
            f"dataset {type(test).__name__} has no {method}; choose another reference"
        )
    return torch.cat([getattr(test, method)(sample) for sample in test])


def _sklearn(module: str) -> ModuleType:
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ModuleNotFoundError as error:
        raise UsageError(
            "this reference needs scikit-learn: pip install 'pyg-relational[tune]'"
        ) from error
