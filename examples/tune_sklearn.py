"""Scikit-learn's random search over the options of a relation network.

Do two objects share a colour? The sets hold 2 to 6 objects each. Skorch makes the
model an estimator; sets of different size stay ragged, because an array of `Data`
objects is all that scikit-learn has to cut into folds.

    python examples/tune_sklearn.py            # a minute
    python examples/tune_sklearn.py --smoke    # seconds
"""

import argparse

import numpy as np
import torch
from scipy.stats import loguniform
from sklearn.model_selection import RandomizedSearchCV, train_test_split
from skorch import NeuralNetClassifier
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch_geometric.data import Batch, Data

from pyg_relational.models import RelationNetwork

COLOURS = 8


def scenes(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns sets of objects, and whether two objects of each share a colour."""
    generator = torch.Generator().manual_seed(seed)
    sets, shared = np.empty(count, dtype=object), np.empty(count, dtype=np.int64)
    for number in range(count):
        size = int(torch.randint(2, 7, (), generator=generator))
        colours = torch.randint(COLOURS, (size,), generator=generator)
        sets[number] = Data(x=one_hot(colours, COLOURS).float())
        shared[number] = int(len(colours.unique()) < size)
    return sets, shared


def collate(rows: list[tuple[Data, int]]) -> tuple[dict[str, Tensor], Tensor]:
    """Batches sets as the arguments of the model: all points, and the set of each."""
    batch = Batch.from_data_list([data for data, _ in rows])
    target = torch.tensor([int(label) for _, label in rows])
    return {"x": batch.x, "batch": batch.batch}, target


def estimator(epochs: int) -> NeuralNetClassifier:
    """Returns a relation network as an estimator of scikit-learn."""
    return NeuralNetClassifier(
        RelationNetwork,
        module__in_channels=COLOURS,
        module__out_channels=2,
        module__readout_channels=[32],
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        max_epochs=epochs,
        batch_size=32,
        iterator_train__shuffle=True,
        iterator_train__collate_fn=collate,
        iterator_valid__collate_fn=collate,
        # The search holds out folds itself.
        train_split=None,
        verbose=0,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="seconds, not minutes")
    smoke = parser.parse_args().smoke
    torch.manual_seed(0)
    sets, shared = scenes(120 if smoke else 1_000)
    train, test, shared_train, shared_test = train_test_split(
        sets, shared, test_size=0.25, random_state=0, stratify=shared
    )
    search = RandomizedSearchCV(
        estimator(epochs=2 if smoke else 15),
        {
            "lr": loguniform(1e-3, 3e-2),
            "module__relation_channels": [[16], [64], [64, 64]],
            "module__aggr": ["sum", "mean", "max"],
        },
        n_iter=2 if smoke else 8,
        cv=2 if smoke else 3,
        random_state=0,
        error_score="raise",
    )
    search.fit(train, shared_train)
    for name, value in search.best_params_.items():
        print(f"{name}: {value}")
    print(f"accuracy in the folds: {search.best_score_:.3f}")
    print(f"accuracy, held out: {search.score(test, shared_test):.3f}")
    yes = shared_test.mean()
    print(f"the more frequent answer: {max(yes, 1 - yes):.3f}")


if __name__ == "__main__":
    main()
