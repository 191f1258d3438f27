import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_relational.explain import attention_matrix, pair_attribution
from pyg_relational.models import TokenRelationClassifier


def model(**kwargs):
    torch.manual_seed(0)
    return TokenRelationClassifier(5, 3, 4, [6, 4], [4], heads=2, **kwargs).double()


def pairs():
    """Two pairs of sentences, of two and three, and of one and two tokens."""
    torch.manual_seed(1)
    sides = ([0, 0, 1, 1, 1], [0, 1, 1])
    samples = [
        Data(x=torch.randn(len(side), 5).double(), side=torch.tensor(side))
        for side in sides
    ]
    return Batch.from_data_list(samples)


def run(module, data, **kwargs):
    return module(data.x, data.side, data.batch, data.num_graphs, **kwargs)


def test_tokens_attend_to_those_of_the_other_sentence():
    data = pairs()
    out, (edges, alpha) = run(model(), data, return_attention_weights=True)
    torch.testing.assert_close(out, run(model(), data))
    assert edges.size(1) == 2 * (2 * 3 + 1 * 2)
    assert bool((data.side[edges[0]] != data.side[edges[1]]).all())
    assert bool((data.batch[edges[0]] == data.batch[edges[1]]).all())
    total = torch.zeros(8, 2).double().index_add(0, edges[1], alpha)
    torch.testing.assert_close(total, torch.ones(8, 2).double())
    (layer,) = attention_matrix(model(), data).values()
    for e, (j, i) in enumerate(edges[:, data.batch[edges[1]] == 0].t().tolist()):
        torch.testing.assert_close(layer[0][:, i, j], alpha[e])


def test_which_sentence_a_token_is_of_counts():
    data = pairs()
    swapped = model()(data.x, 1 - data.side, data.batch, 2)
    assert (run(model(), data) - swapped).abs().max() > 1e-4


def test_attributions_are_what_the_answer_loses_without_a_pair():
    data = pairs().to_data_list()[1]
    module = model().eval()
    (moved,) = pair_attribution(module, data, target=0, method="removal")
    across = data.side[:, None] != data.side[None]
    assert bool((moved[..., ~across] == 0).all())
    assert float(moved.abs().max()) > 1e-5


def test_dropout_is_only_for_training():
    data = pairs()
    torch.testing.assert_close(run(model(dropout=0.5).eval(), data), run(model(), data))
    assert not torch.equal(run(model(dropout=0.5).train(), data), run(model(), data))


def test_bad_input():
    data = pairs()
    with pytest.raises(
        ValueError, match="'side' must name the sentence of each of the"
    ):
        model()(data.x, data.side[:3])
    with pytest.raises(ValueError, match="'side' must be 0 or 1 for each object"):
        model()(data.x, data.side + 1)
    with pytest.raises(ValueError, match=r"must have 5 features .*shape \[8, 3\]"):
        model()(data.x[:, :3], data.side, data.batch)
