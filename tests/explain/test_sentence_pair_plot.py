import matplotlib.image
import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from pyg_relational.explain import plot_sentence_pair

SENTENCES = ["a man $leeps", "nobody does"]
PROBABILITIES = {"entailment": 0.1, "neutral": 0.2, "contradiction": 0.7}
TOKENS = [["a", "man", "$leeps"], ["nobody", "does"]]


def given():
    """The weight of source j for target i is i + j / 10; the other head has twice."""
    side = torch.tensor([0, 0, 0, 1, 1])
    i, j = (side[:, None] != side[None]).nonzero().t()
    alpha = i + j / 10
    data = Data(side=side, tokens=TOKENS)
    return data, (torch.stack([j, i]), torch.stack([alpha, 2 * alpha], dim=1))


def labels(axis):
    return [label.get_text() for label in axis]


def test_rows_are_tokens_and_columns_what_they_attend_to():
    data, attention = given()
    figure = plot_sentence_pair(
        SENTENCES, PROBABILITIES, data=data, attention=attention
    )
    bars, hypothesis, premise, scale = figure.axes
    drawn = [np.asarray(ax.images[0].get_array()) for ax in (hypothesis, premise)]
    expected = 1.5 * np.array([[3.0, 3.1, 3.2], [4.0, 4.1, 4.2]])
    np.testing.assert_allclose(drawn[0], expected)
    expected = 1.5 * np.array([[0.3, 0.4], [1.3, 1.4], [2.3, 2.4]])
    np.testing.assert_allclose(drawn[1], expected)
    assert labels(hypothesis.get_yticklabels()) == TOKENS[1]
    assert labels(hypothesis.get_xticklabels()) == TOKENS[0]
    assert labels(premise.get_yticklabels()) == TOKENS[0]
    assert (premise.get_xlabel(), hypothesis.get_xlabel()) == ("hypothesis", "premise")
    # One scale for both.
    for ax in (hypothesis, premise):
        assert ax.images[0].get_clim() == pytest.approx((0.0, 6.3))
    assert scale.get_ylabel() == "attention weight, mean of heads"
    assert [bar.get_width() for bar in bars.patches] == [0.1, 0.2, 0.7]


def test_without_attention_there_are_bars_only(tmp_path):
    path = tmp_path / "pair.png"
    figure = plot_sentence_pair(SENTENCES, PROBABILITIES, data=given()[0], path=path)
    assert len(figure.axes) == 1
    heading = figure.get_suptitle().splitlines()
    assert heading[0] == "hypothesis to premise: contradiction"
    assert heading[1:] == ["premise: a man $leeps", "hypothesis: nobody does"]
    assert matplotlib.image.imread(path).ndim == 3


def test_long_sentences_are_cut():
    size = 50
    side = torch.arange(2).repeat_interleave(size)
    i, j = (side[:, None] != side[None]).nonzero().t()
    data = Data(side=side, tokens=[[f"w{k}" for k in range(size)]] * 2)
    attention = torch.stack([j, i]), torch.ones(len(i))
    figure = plot_sentence_pair(
        ["w " * 99, "w"], PROBABILITIES, data=data, attention=attention
    )
    assert figure.axes[1].images[0].get_array().shape == (40, 40)
    assert figure.axes[1].get_xlabel() == "premise (first 40 tokens)"
    assert max(map(len, figure.get_suptitle().splitlines())) <= 110


def test_bad_input(tmp_path):
    data, attention = given()
    plot = plot_sentence_pair
    with pytest.raises(ValueError, match=r"must be premise and hypothesis \(got 'one'"):
        plot("one", PROBABILITIES)
    with pytest.raises(
        ValueError, match=r"must hold 'tokens' and 'side' .*got no data"
    ):
        plot(SENTENCES, PROBABILITIES, attention=attention)
    data.tokens = [["a"], ["b"]]
    with pytest.raises(ValueError, match=r"got \[1, 1\] names for \[3, 2\] rows"):
        plot(SENTENCES, PROBABILITIES, data=data, attention=attention)
    with pytest.raises(ValueError, match=r"must end in '.png' or '.svg'"):
        plot(SENTENCES, PROBABILITIES, path=tmp_path / "pair.pdf")
