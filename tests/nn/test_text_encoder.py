from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pyg_relational.nn import TextEncoder


class Tokenizer:
    def __call__(self, texts, truncation, max_length=None, **kwargs):
        rows = [[1, *(len(word) + 2 for word in text.split()), 2] for text in texts]
        if truncation:
            rows = [[*row[: max_length - 1], 2] for row in rows]
        return {"input_ids": rows}


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.config = SimpleNamespace(hidden_size=5)
        self.word = nn.Embedding(20, 5)
        self.dropout = nn.Dropout(0.5)

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(last_hidden_state=self.dropout(self.word(input_ids)))


TEXTS = ["a bird sings", "no"]
ROWS = [[1, 3, 6, 7, 2], [1, 4, 2]]


def encoder(**kwargs):
    return TextEncoder(Transformer(), Tokenizer(), **kwargs)


def test_a_text_is_the_mean_of_its_tokens():
    module = encoder()
    words = [module.model.word.weight[torch.tensor(row)] for row in ROWS]
    torch.testing.assert_close(
        module(TEXTS), torch.stack([x.mean(dim=0) for x in words])
    )
    x, text = module.tokens(TEXTS)
    torch.testing.assert_close(x, torch.cat(words))
    assert text.tolist() == [0] * 5 + [1] * 3
    assert module([]).shape == (0, 5)
    assert str(module) == "TextEncoder(Transformer, 5, frozen=True)"


def test_frozen_weights_neither_learn_nor_drop_out():
    module = nn.Sequential(encoder()).train()
    first = module(TEXTS)
    assert not first.requires_grad
    assert torch.equal(first, module(TEXTS))
    assert not any(p.requires_grad for p in module.parameters())


def test_other_weights_learn():
    module = encoder(frozen=False).train()
    assert not torch.equal(module(TEXTS), module(TEXTS))
    module(TEXTS).sum().backward()
    rows = module.model.word.weight.grad.abs().sum(dim=1).nonzero()[:, 0]
    assert len(rows)
    assert set(rows.tolist()) <= {1, 2, 3, 4, 6, 7}


def test_a_long_text_is_cut_with_a_warning():
    module = encoder(max_tokens=4)
    with pytest.warns(UserWarning, match="has 5 tokens, the encoder takes 4: the last"):
        x, _ = module.tokens(TEXTS[:1])
    expected = module.model.word.weight[torch.tensor([1, 3, 6, 2])]
    torch.testing.assert_close(x, expected)


def test_bad_input():
    with pytest.raises(ValueError, match="'model' and 'tokenizer' belong together"):
        TextEncoder(tokenizer=Tokenizer())
    with pytest.raises(ValueError, match=r"'max_tokens' must be at least 3 \(got 2\)"):
        encoder(max_tokens=2)
    with pytest.raises(ValueError, match="have words, got ' ' for text 1; write a"):
        encoder()(["a", " "])
