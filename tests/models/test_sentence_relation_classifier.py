import pytest
import torch
from torch import nn

from pyg_relational.models import SentenceRelationClassifier


class Letters(nn.Module):
    """Counts of the letters a to d."""

    out_channels = 4

    def forward(self, texts):
        return torch.tensor([[float(t.count(c)) for c in "abcd"] for t in texts])


def model(**kwargs):
    torch.manual_seed(0)
    return SentenceRelationClassifier(4, 3, relation_channels=[6], **kwargs)


def naive(module, u, v):
    """The head on (v, u, |u - v|, u * v), layer by layer."""
    g = module.pair.relation
    parts = {"difference": (u - v).abs(), "product": u * v, "offset": v - u}
    h = g.lin_r(v) + g.lin_l(u)
    if module.interactions:
        h = h + g.lin_edge(torch.cat([parts[name] for name in module.interactions]))
    return g.lins[0](h.relu())


@pytest.mark.parametrize(
    "interactions", [("difference", "product"), ("product",), ()], ids=len
)
def test_each_pair_meets_alone(interactions):
    module, x = model(interactions=interactions), torch.randn(6, 4)
    expected = [naive(module, x[k], x[k + 1]) for k in (0, 2, 4)]
    torch.testing.assert_close(module(x), torch.stack(expected))


def test_the_relation_has_a_direction():
    module, x = model(), torch.randn(2, 4)
    assert (module(x) - module(x.flip(0))).abs().max() > 1e-4


def test_texts_are_read_by_the_encoder():
    texts = ["abba", "dad", "", "cab"]
    rows = Letters()(texts)
    torch.testing.assert_close(model(encoder=Letters())(texts), model()(rows))


def test_dropout_is_only_for_training():
    module, x = model(dropout=0.5), torch.ones(2, 4)
    assert not torch.equal(module.train()(x), module.train()(x))
    torch.testing.assert_close(module.eval()(x), model()(x))


def test_bad_input():
    with pytest.raises(ValueError, match=r"premise and hypothesis by turns \(got 3 "):
        model()(torch.ones(3, 4))
    with pytest.raises(ValueError, match=r"'x' must be a tensor .* 'encoder=TextEncod"):
        model()(["a", "b"])
    with pytest.raises(ValueError, match=r"'interactions' must be a list of .*'sum'"):
        model(interactions=["sum"])


def test_an_encoder_of_another_width_does_not_fit_the_head():
    message = "'encoder' gives rows of width 4, .*'in_channels=384'; pass 'in_chan"
    with pytest.raises(ValueError, match=message):
        SentenceRelationClassifier(384, 3, encoder=Letters())
    # Rows that another encoder made, given to a saved head.
    head = SentenceRelationClassifier(384, 3)
    head.load_state_dict(SentenceRelationClassifier(384, 3).state_dict())
    with pytest.raises(ValueError, match=r"must have 384 features .*shape \[2, 4\]"):
        head(torch.ones(2, 4))
