import pytest
import torch

from pyg_relational.nn.pairwise import check_interactions, pair_interactions

X = torch.tensor([[1.0, 2.0], [4.0, -1.0], [0.5, 3.0]])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["difference"], [[3.0, 3.0], [3.5, 4.0]]),
        (["offset"], [[3.0, -3.0], [3.5, -4.0]]),
        (["product"], [[4.0, -2.0], [2.0, -3.0]]),
        (["product", "offset"], [[4.0, -2.0, 3.0, -3.0], [2.0, -3.0, 3.5, -4.0]]),
    ],
)
def test_interactions_of_source_and_target(names, expected):
    # From 0 to 1, and from 2 to 1.
    pairs = torch.tensor([[0, 2], [1, 1]])
    assert pair_interactions(X, pairs, names).tolist() == expected


def test_the_usual_ones_do_not_know_the_direction():
    pairs = torch.tensor([[0, 2], [1, 1]])
    both = pair_interactions(X, pairs)
    assert torch.equal(both, pair_interactions(X, pairs.flip(0)))
    assert torch.equal(both, pair_interactions(X, pairs, ("difference", "product")))


@pytest.mark.parametrize("names", ["product", ["sum"], ["product", "sum"]])
def test_unknown_interactions_are_named(names):
    message = r"'interactions' must be a list of difference, offset, product \(got"
    with pytest.raises(ValueError, match=message):
        check_interactions(names)


def test_repeated_interactions_are_refused():
    with pytest.raises(ValueError, match="must not repeat a name"):
        pair_interactions(X, torch.tensor([[0], [1]]), ["product", "product"])
