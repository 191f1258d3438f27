import pytest
import torch

from pyg_relational.nn import SentenceEncoder


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return SentenceEncoder(9, 3, 5).double()


def test_repr(encoder):
    assert str(encoder) == "SentenceEncoder(9, 3, max_words=5)"


def test_padding_does_not_matter(encoder):
    short = torch.tensor([[1, 2], [3, 0]])
    long = torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0], [5, 6, 7, 8]])
    torch.testing.assert_close(encoder(long)[:2], encoder(short), rtol=0, atol=1e-12)
    with torch.no_grad():
        encoder.word.weight[0] = 1e6
    torch.testing.assert_close(encoder(long)[:2], encoder(short), rtol=0, atol=1e-12)


def test_word_order_matters(encoder):
    a, b = encoder(torch.tensor([[1, 2, 3], [2, 1, 3]]))
    assert (a - b).abs().max() > 1e-3


def test_places_weigh_words(encoder):
    x = torch.tensor([[4, 5, 0], [4, 0, 0]])
    word, place = encoder.word.weight, encoder.place
    expected = [word[4] * place[0] + word[5] * place[1], word[4] * place[0]]
    torch.testing.assert_close(encoder(x), torch.stack(expected))


def test_places_start_as_in_the_paper(encoder):
    # Word 2 of 5, channel 3 of 3: (1 - 2/5) - 1 * (1 - 4/5) = 2/5, doubled.
    assert encoder.place[1, 2].item() == pytest.approx(4 / 5)
    # Word 5 of 5, channel 1 of 3: 0 - 1/3 * (1 - 2) = 1/3, doubled.
    assert encoder.place[4, 0].item() == pytest.approx(2 / 3)


def test_no_texts(encoder):
    out = encoder(torch.zeros(0, 5, dtype=torch.long))
    assert out.shape == (0, 3)
    assert out.dtype == torch.double


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.tensor([[1, 9]]), "ids from 0 to 8 .got 1 to 9"),
        (torch.tensor([[-1, 2]]), "got -1 to 2"),
        (torch.tensor([[1.0, 2.0]]), "int64"),
        (torch.tensor([1, 2]), "one text of at most 5 words per row"),
        (torch.ones(1, 6, dtype=torch.long), "at most 5 words"),
        (torch.tensor([[1, 2], [0, 0]]), "starts with padding"),
        (torch.tensor([[0, 2]]), "starts with padding"),
        (torch.zeros(2, 0, dtype=torch.long), "starts with padding"),
        (torch.tensor([[1, 0, 2]]), "a word after padding"),
    ],
)
def test_bad_texts(encoder, x, message):
    with pytest.raises(ValueError, match=f"'question' .*{message}"):
        encoder(x, "question")
