from importlib.util import find_spec

import pytest
import torch
from torch_geometric.data import Data

from pyg_relational._checks import UsageError
from pyg_relational.train.references import cosine_rows, reference_of

needs_sklearn = pytest.mark.skipif(
    find_spec("sklearn") is None, reason="needs scikit-learn"
)


def pairs(num, seed):
    """Two vectors of any length at an angle, whose third decides the class."""
    generator = torch.Generator().manual_seed(seed)
    angle = 3.14 * torch.rand(num, generator=generator)
    samples = []
    for a, scale in zip(angle, 1 + torch.rand(num, generator=generator), strict=True):
        x = torch.stack([torch.tensor([1.0, 0.0]), torch.stack([a.cos(), a.sin()])])
        answer = int(a.cos() > 0.6) + int(a.cos() > -0.4)
        samples.append(Data(x=scale * x, y=torch.tensor([answer])))
    return samples


@needs_sklearn
def test_each_class_gets_an_interval_of_the_cosine():
    splits = [pairs(n, seed) for seed, n in enumerate((400, 100, 200))]
    output = reference_of("cosine")(*splits)
    y = torch.cat([sample.y for sample in splits[2]])
    assert output.shape == (200, 3)
    assert (output.argmax(dim=1) == y).float().mean() > 0.95
    order = cosine_rows(splits[2])[:, 0].argsort()
    changes = output.argmax(dim=1)[order].diff().count_nonzero()
    assert changes == 2


def test_a_sentence_is_the_mean_of_its_tokens():
    x = torch.tensor([[1.0, 3.0], [9.0, 0.0], [3.0, 1.0]])
    tokens = Data(x=x, side=torch.tensor([0, 1, 0]))
    sentences = Data(x=torch.tensor([[2.0, 2.0], [9.0, 0.0]]))
    expected = torch.full((2, 1), 0.5**0.5)
    torch.testing.assert_close(cosine_rows([tokens, sentences]), expected)


@pytest.mark.parametrize(
    "x", [torch.ones(3, 2), torch.ones(2), torch.ones(2, 2).long()]
)
def test_samples_without_two_embeddings_are_refused(x):
    with pytest.raises(
        UsageError, match=r"'cosine' needs two embeddings x \[2, F\], g"
    ):
        cosine_rows([Data(x=x)])
