import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pyg_relational.encoders.texts import text_tokens, token_embeddings

START, END = 1, 2


class Tokenizer:
    """Letters are tokens; what is no letter is not there."""

    def __call__(self, texts, truncation, max_length=None, **kwargs):
        rows = []
        for text in texts:
            row = [3 + ord(c) - ord("a") for c in text if c.isalpha()]
            if truncation:
                row = row[: max_length - 2]
            rows.append([START, *row, END])
        return {"input_ids": rows}


class Transformer(nn.Module):
    """Each token and the mean of those that are there."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.word = nn.Embedding(40, 4)

    def forward(self, input_ids, attention_mask):
        x, there = self.word(input_ids), attention_mask.unsqueeze(-1)
        mean = (x * there).sum(1, keepdim=True) / there.sum(1, keepdim=True)
        return SimpleNamespace(last_hidden_state=x + 10 * mean)


def test_tokens_of_each_text():
    rows = text_tokens(Tokenizer(), ["ab", "c"], 9)
    assert rows == [[1, 3, 4, 2], [1, 5, 2]]
    assert text_tokens(Tokenizer(), [], 9) == []


def test_a_text_that_is_too_long_is_cut_with_a_warning():
    with pytest.warns(UserWarning, match="left out") as caught:
        rows = text_tokens(Tokenizer(), ["ab", "abcdef"], 5)
    assert rows == [[1, 3, 4, 2], [1, 3, 4, 5, 2]]
    (warning,) = caught
    message = "the text 'abcdef' ... has 8 tokens, the encoder takes 5: the last 3 are"
    assert str(warning.message).startswith(message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text_tokens(Tokenizer(), ["abcdef"], 8)


@pytest.mark.parametrize("text", ["", " \n", "?"])
def test_a_text_without_words_is_refused(text):
    with pytest.raises(ValueError, match=r"have words, got '.*' for text 1; write a"):
        text_tokens(Tokenizer(), ["a", text], 9)


@pytest.mark.parametrize("texts", ["a text", ["a", 3]])
def test_texts_are_a_list_of_texts(texts):
    with pytest.raises(TypeError, match="`texts` to be a list of texts, got"):
        text_tokens(Tokenizer(), texts, 9)


def test_embeddings_of_a_batch_are_those_of_each_text():
    model = Transformer()
    rows = [[1, 3, 4, 2], [1, 5, 2], [1, 3, 3, 3, 7, 2]]
    together = token_embeddings(model, rows)
    assert [tuple(x.shape) for x in together] == [(4, 4), (3, 4), (6, 4)]
    for row, x in zip(rows, together, strict=True):
        words = model.word(torch.tensor(row))
        torch.testing.assert_close(x, words + 10 * words.mean(dim=0))
    assert token_embeddings(model, []) == []
