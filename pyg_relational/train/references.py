"""Classical baselines: what a model should beat, on the same splits.

A reference is fitted to the training split, settles its one setting on the validation
split, and returns for the test split what a model would: one row for each row of ``y``,
logits or values.
"""

import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from pyg_relational.train.errors import UsageError, nearest_names
from pyg_relational.train.pair_correlations import pair_rows
from pyg_relational.train.reference_rows import (
    concatenated,
    cosine_rows,
    flat_rows,
    target_values,
)
from pyg_relational.train.tasks import task_of
from pyg_relational.train.word_counts import word_rows, words_and_bigrams

Reference = Callable[[Any, Any, Any], Tensor]
# Inverse strength of the penalty of the logistic regression.
C_VALUES = (0.3, 1.0, 3.0, 10.0, 30.0)
ALPHA_VALUES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)


def reference_of(name: str) -> Reference:
    """Return the reference with this name.

    Raises:
        UsageError: If there is none.
    """
    if name not in REFERENCES:
        hint = nearest_names(name, REFERENCES)
        raise UsageError(f"unknown reference '{name}'; {hint}")
    return REFERENCES[name]


def bag_of_words(train: Any, val: Any, test: Any) -> Tensor:
    """Return the logits of a logistic regression on words and pairs of neighbours.

    Words and bigrams are weighted by tf-idf; the strength of the penalty is the one
    with the best validation accuracy.

    Args:
        train, val, test (Dataset): Splits whose samples hold the numbers of their words
            ``sentence``, else ``x``, :math:`(T)` and one class ``y`` :math:`(1)`.

    Raises:
        UsageError: If the samples hold something else, or scikit-learn is missing.
    """
    text = _sklearn("feature_extraction.text")
    words = [word_rows(split) for split in (train, val, test)]
    counter = text.TfidfVectorizer(analyzer=words_and_bigrams, sublinear_tf=True)
    x = counter.fit_transform(words[0])
    rows = [x, counter.transform(words[1]), counter.transform(words[2])]
    return _logistic(rows, [concatenated(split, "y") for split in (train, val, test)])


def correlation(train: Any, val: Any, test: Any) -> Tensor:
    """Return the logits of a logistic regression on how alike two nodes move.

    A pair is told from the correlations over time of each feature of its nodes; the
    strength of the penalty is the one with the best validation accuracy.

    Args:
        train, val, test (Dataset): Splits whose samples are temporal graphs with pairs
            ``edge_label_index`` :math:`(2, P)` and a class ``y`` :math:`(P)` for each.

    Raises:
        UsageError: If the samples hold something else, or scikit-learn is missing.
    """
    splits = (train, val, test)
    rows = [torch.cat([pair_rows(x) for x in split]).numpy() for split in splits]
    return _logistic(rows, [concatenated(split, "y") for split in splits])


def majority(train: Any, val: Any, test: Any) -> Tensor:
    """Return the share of each class among the training targets, for every row.

    Args:
        train, val, test (Dataset): Splits with classes ``y`` :math:`(R)`; ``val`` is
            not needed.

    Raises:
        UsageError: If ``y`` holds values.
    """
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

    An entity that training does not show gets the mean of all of them.

    Args:
        train, val, test (Dataset): Splits whose samples hold values ``y``
            :math:`(R, C)` and, optionally, the number ``entity`` :math:`(R)` of each
            row; ``val`` is not needed.

    Raises:
        UsageError: If ``y`` is no table of values.
    """
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
    """Return the test split's own naive forecast, for which nothing is fitted.

    Args:
        train, val, test (Dataset): Splits; ``test`` offers ``naive_forecast(sample)``,
            which returns values :math:`(R, C)`; the others are not needed.

    Raises:
        UsageError: If the dataset offers none.
    """
    return _own_forecast(test, "naive_forecast")


def seasonal_naive(train: Any, val: Any, test: Any) -> Tensor:
    """Return the values of one season before, for which nothing is fitted.

    Args:
        train, val, test (Dataset): Splits; ``test`` offers
            ``seasonal_forecast(sample)``; the others are not needed.

    Raises:
        UsageError: If the dataset offers none.
    """
    return _own_forecast(test, "seasonal_forecast")


def cosine(train: Any, val: Any, test: Any) -> Tensor:
    """Return the logits of a logistic regression on the cosine of two embeddings.

    With one number to go by, each class gets one interval of it: thresholds. Where
    samples hold tokens, a sentence is the mean of its own.

    Args:
        train, val, test (Dataset): Splits whose samples hold two embeddings ``x``
            :math:`(2, F)`, or tokens ``x`` :math:`(N, F)` of the sentences ``side``
            :math:`(N)`, and one class ``y`` :math:`(1)`.

    Raises:
        UsageError: If the samples hold something else, or scikit-learn is missing.
    """
    splits = (train, val, test)
    rows = [cosine_rows(split).numpy() for split in splits]
    return _logistic(rows, [concatenated(split, "y") for split in splits])


def constant_velocity(train: Any, val: Any, test: Any) -> Tensor:
    """Return the places that lead on from the last step, for which nothing is fitted.

    Args:
        train, val, test (Dataset): Splits; ``test`` offers
            ``constant_velocity(sample)``; the others are not needed.

    Raises:
        UsageError: If the dataset offers none.
    """
    return _own_forecast(test, "constant_velocity")


def ridge(train: Any, val: Any, test: Any) -> Tensor:
    """Return the values of a ridge regression on all steps of a sequence at once.

    One regression a column of ``y``, shared by all entities; the penalty is the one
    with the smallest validation error. Where temporal graphs are of different length,
    the last frames are read, as many as the shortest has; what is absent there is 0.

    Args:
        train, val, test (Dataset): Splits whose samples hold values ``y``
            :math:`(R, C)`, and either sequences ``x`` :math:`(S, F)` of the same
            ``length`` :math:`(R)`, or, in temporal graphs, frames ``x``
            :math:`(R, T, F)`.

    Raises:
        UsageError: If the samples hold something else, or scikit-learn is missing.
    """
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
