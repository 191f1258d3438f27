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

from pyg_relational.train.errors import UsageError, nearest_names

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
            ``x`` :math:`(T)` and one class ``y`` :math:`(1)`.

    Raises:
        UsageError: If the samples hold something else, or scikit-learn is missing.
    """
    text = _sklearn("feature_extraction.text")
    linear = _sklearn("linear_model")
    words = [_word_rows(split) for split in (train, val, test)]
    y, y_val, y_test = (_concatenated(split, "y") for split in (train, val, test))
    counter = text.TfidfVectorizer(analyzer=_words_and_bigrams, sublinear_tf=True)
    x = counter.fit_transform(words[0])
    x_val, x_test = counter.transform(words[1]), counter.transform(words[2])

    def accuracy(model: Any) -> float:
        return float(model.score(x_val, y_val.numpy()))

    models = [
        linear.LogisticRegression(C=c, max_iter=1000).fit(x, y.numpy())
        for c in C_VALUES
    ]
    best = max(models, key=accuracy)
    logits = torch.from_numpy(best.predict_log_proba(x_test)).float()
    # Classes that training never shows have no chance.
    size = int(torch.cat([y, y_val, y_test]).max()) + 1
    output = torch.full((len(logits), size), torch.finfo(logits.dtype).min)
    output[:, torch.from_numpy(best.classes_)] = logits
    return output


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
    y = _values(train)
    overall = y.mean(dim=0)
    rows = len(_values(test))
    if "entity" not in train[0]:
        return overall.expand(rows, -1).clone()
    seen, wanted = _concatenated(train, "entity"), _concatenated(test, "entity")
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
    if not hasattr(test, "naive_forecast"):
        raise UsageError(
            f"dataset {type(test).__name__} has no naive_forecast; "
            "choose another reference"
        )
    return torch.cat([test.naive_forecast(sample) for sample in test])


def ridge(train: Any, val: Any, test: Any) -> Tensor:
    """Return the values of a ridge regression on all steps of a sequence at once.

    One regression a column of ``y``, shared by all entities; the penalty is the one
    with the smallest validation error.

    Args:
        train, val, test (Dataset): Splits whose samples hold sequences ``x``
            :math:`(S, F)` of the same ``length`` :math:`(R)` and values ``y``
            :math:`(R, C)`.

    Raises:
        UsageError: If the samples hold something else, or scikit-learn is missing.
    """
    linear = _sklearn("linear_model")
    x, x_val, x_test = (_flat_sequences(split) for split in (train, val, test))
    y, y_val = _values(train).numpy(), _values(val).numpy()
    columns = []
    for column in range(y.shape[1]):

        def error(model: Any, target: Any = y_val[:, column]) -> float:
            return float(abs(model.predict(x_val) - target).mean())

        models = [linear.Ridge(alpha=a).fit(x, y[:, column]) for a in ALPHA_VALUES]
        columns.append(torch.from_numpy(min(models, key=error).predict(x_test)))
    return torch.stack(columns, dim=1).float()


REFERENCES: dict[str, Reference] = {
    "bag-of-words": bag_of_words,
    "mean": mean,
    "naive": naive,
    "ridge": ridge,
}


def _word_rows(split: Any) -> list[list[int]]:
    first = _attribute(split[0], "x")
    if first.dim() != 1 or first.is_floating_point() or split[0].y.shape != (1,):
        raise UsageError(
            f"reference 'bag-of-words' needs numbers of words x [T] and one class "
            f"y [1] in each sample, got x {list(first.shape)} of {first.dtype} and "
            f"y {list(split[0].y.shape)}"
        )
    return [sample.x.tolist() for sample in split]


def _words_and_bigrams(ids: Sequence[int]) -> list[tuple[int, ...]]:
    return [*((i,) for i in ids), *itertools.pairwise(ids)]


def _values(split: Any) -> Tensor:
    y = _concatenated(split, "y")
    if y.dim() != 2 or not y.is_floating_point():
        raise UsageError(
            f"this reference needs values y [R, C], got {list(y.shape)} of {y.dtype}"
        )
    return y


def _flat_sequences(split: Any) -> Any:
    length = _concatenated(split, "length")
    x = _concatenated(split, "x")
    steps = int(length[0])
    if x.dim() != 2 or (length != steps).any():
        raise UsageError(
            "reference 'ridge' needs sequences x [S, F] of one length, got "
            f"x {list(x.shape)} and lengths from {int(length.min())} to "
            f"{int(length.max())}"
        )
    # [R * steps, F] -> [R, steps * F]
    return x.reshape(len(length), -1).numpy()


def _concatenated(split: Any, name: str) -> Tensor:
    return torch.cat([_attribute(sample, name) for sample in split])


def _attribute(sample: Data, name: str) -> Tensor:
    if name not in sample:
        held = ", ".join(sorted(sample.keys()))
        raise UsageError(f"this reference needs '{name}'; the samples hold {held}")
    value: Tensor = sample[name]
    return value


def _sklearn(module: str) -> ModuleType:
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ModuleNotFoundError as error:
        raise UsageError(
            "this reference needs scikit-learn: pip install 'pyg-relational[tune]'"
        ) from error
