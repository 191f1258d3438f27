import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from pyg_relational.models import RelationNetwork, StatementNetwork
from pyg_relational.nn.checks import forward_arguments

TOKENS = 11


def network(**kwargs):
    torch.manual_seed(0)
    reasoner = RelationNetwork(3, 2, [6, 5], [4], u_dim=6)
    return StatementNetwork(TOKENS, reasoner, 4, 6, **kwargs).double()


def statements():
    """Three sets, one of them empty, with sentences of three, one and four words."""
    generator = torch.Generator().manual_seed(0)
    return [
        Data(
            x=torch.randn(size, 3, generator=generator).double(),
            sentence=torch.randint(TOKENS, (words,), generator=generator),
        )
        for size, words in ((2, 3), (0, 1), (4, 4))
    ]


def arguments():
    loader = DataLoader(statements(), batch_size=3, follow_batch=["sentence"])
    batch = next(iter(loader))
    return {
        "x": batch.x,
        "sentence": batch.sentence,
        "sentence_batch": batch.sentence_batch,
        "batch": batch.batch,
        "batch_size": 3,
    }


def test_a_loaded_batch_gives_the_same_as_its_statements():
    model = network()
    out = model(**arguments())
    assert out.shape == (3, 2)
    for row, data in zip(out, statements(), strict=True):
        alone = model(**forward_arguments(model, data))
        torch.testing.assert_close(row[None], alone, rtol=1e-9, atol=1e-9)


def test_the_order_of_the_words_counts_and_that_of_other_sentences_does_not():
    model, given = network(), arguments()
    expected = model(**given)
    words = given["sentence"].clone()
    words[:3] = words[:3].flip(0)
    changed = model(**given | {"sentence": words})
    assert (changed[0] - expected[0]).abs().max() > 1e-6
    torch.testing.assert_close(changed[1:], expected[1:], rtol=1e-12, atol=1e-12)


def test_the_sentence_is_dropped_out_only_in_training():
    model, given = network(dropout=0.5), arguments()
    torch.testing.assert_close(model.eval()(**given), network().eval()(**given))
    seen = []
    model.reasoner.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["u"]), with_kwargs=True
    )
    model.train()(**given)
    assert 0 < (seen[0] == 0).double().mean() < 1


def test_widths():
    model = network(bidirectional=True, num_layers=2)
    assert model.u_dim == 12
    assert network().u_dim == 6
    model = network(embedding_std=0.1)
    assert 0.05 < model.read.embedding.weight.std() < 0.2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sentence_batch": None}, "'sentence_batch' is missing.*'sentence'"),
        ({"sentence": torch.ones(8, 1).long()}, r"shape \[S\] .got shape \[8, 1\]"),
        ({"sentence": torch.full((8,), TOKENS)}, "from 0 to 10 .got 11 to 11"),
        ({"sentence": torch.ones(8)}, "int64"),
        ({"sentence_batch": torch.tensor([0] * 4 + [2] * 4)}, "at least one step"),
        ({"sentence_batch": torch.tensor([0, 1])}, "each of the 8 rows"),
        ({"batch": torch.tensor([0, 0, 2, 2, 2, 3])}, "'batch' names set 3"),
        ({"batch": torch.tensor([2, 0, 2, 2, 2, 2])}, "'batch' must be sorted"),
        ({"x": torch.ones(6, 4).double()}, "features"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(ValueError, match=message):
        network()(**arguments() | changes)
