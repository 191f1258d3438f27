"""Texts as rows of tokens, by a tokenizer and a transformer."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def text_tokens(
    tokenizer: Any, texts: Sequence[str], max_tokens: int
) -> list[list[int]]:
    """Returns the numbers of the tokens of each text, special ones included.

    A longer text is cut, with a warning.

    Args:
        tokenizer (Callable): A tokenizer as those of `transformers`: called with a list
            of texts, it returns their `input_ids`.
        texts (Sequence[str]): The texts.
        max_tokens (int): The most tokens of a text.

    Raises:
        TypeError: `texts` is a single text, or holds something else.
        ValueError: A text is empty; its place is named.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"Expected `texts` to be a list of texts, got {texts!r:.80}.")
    # The empty text shows how many tokens only mark the ends. `verbose` would warn
    # about long texts too.
    ids = tokenizer([*texts, ""], truncation=False, padding=False, verbose=False)
    *rows, ends = [list(row) for row in ids["input_ids"]]
    for place, row in enumerate(rows):
        if len(row) <= len(ends):
            raise ValueError(
                f"Expected every text to have words, got {texts[place]!r} for text "
                f"{place}; write a sentence."
            )
    for place, row in enumerate(rows):
        if len(row) > max_tokens:
            warnings.warn(
                f"the text {texts[place][:40]!r} ... has {len(row)} tokens, the "
                f"encoder takes {max_tokens}: the last {len(row) - max_tokens} are "
                "left out",
                stacklevel=2,
            )
            cut = tokenizer([texts[place]], truncation=True, max_length=max_tokens)
            rows[place] = list(cut["input_ids"][0])
    return rows


def token_embeddings(model: nn.Module, tokens: Sequence[Sequence[int]]) -> list[Tensor]:
    """Returns what a transformer makes of the tokens of each text, `[L, F]` each.

    Args:
        model (nn.Module): Called with `input_ids` and `attention_mask`; its answer has
            `last_hidden_state`.
        tokens (Sequence[Sequence[int]]): The numbers of the tokens, as `text_tokens`
            returns them.
    """
    if not tokens:
        return []
    lengths = [len(row) for row in tokens]
    first = next(model.parameters(), torch.empty(0))
    # [B, L]
    ids = torch.zeros(len(tokens), max(lengths), dtype=torch.long)
    for place, row in enumerate(tokens):
        ids[place, : len(row)] = torch.tensor(row)
    there = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    ids, there = ids.to(first.device), there.to(first.device)
    output = model(input_ids=ids, attention_mask=there.long()).last_hidden_state
    return [x[:length] for x, length in zip(output, lengths, strict=True)]
