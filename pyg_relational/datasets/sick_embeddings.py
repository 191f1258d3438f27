"""The tokens of sentences, embedded once and kept."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from torch import Tensor

from pyg_relational.datasets.embedding_cache import EmbeddingCache
from pyg_relational.encoders.minilm import (
    MAX_TOKENS,
    load_minilm,
    load_tokenizer,
    minilm_key,
)
from pyg_relational.encoders.texts import text_tokens, token_embeddings

FOLDER = "embeddings"
_model, _tokenizer = cache(load_minilm), cache(load_tokenizer)


def sentence_tokens(
    sentences: Sequence[str],
    root: str | Path,
    numbers: Sequence[list[int]] | None = None,
    batch_size: int = 32,
) -> list[Tensor]:
    """Returns the tokens of each sentence as MiniLM embeds them, `[L, 384]`, those that
    mark its start and its end included.

    Args:
        sentences (Sequence[str]): The sentences.
        root (str or Path): Folder of the dataset; what was computed before is read in
            its folder `embeddings`.
        numbers (Sequence[list[int]], optional): The tokens of the sentences, where
            `named_tokens` has read them. (default: `None`)
        batch_size (int): Sentences that are embedded at once. (default: `32`)

    Raises:
        ModuleNotFoundError: A package of the extra `text` is missing.
        ValueError: A sentence is empty.
    """
    # Sentences of about the same length go together: little of a batch is padding.
    order = sorted(range(len(sentences)), key=lambda place: len(sentences[place]))

    def encode(places: list[int]) -> list[Tensor]:
        chosen = [order[place] for place in places]
        if numbers is not None:
            return token_embeddings(_model(), [numbers[place] for place in chosen])
        texts = [sentences[place] for place in chosen]
        return token_embeddings(_model(), text_tokens(_tokenizer(), texts, MAX_TOKENS))

    contents = [sentences[place].encode() for place in order]
    embeddings = EmbeddingCache(Path(root, FOLDER), minilm_key())
    found = embeddings.embeddings(contents, encode, batch_size)
    ordered = sorted(zip(order, found, strict=True), key=lambda entry: entry[0])
    return [tokens for _, tokens in ordered]


def named_tokens(sentences: Sequence[str]) -> tuple[list[list[int]], list[list[str]]]:
    """Returns the tokens of each sentence, and without start and end as text.

    Args:
        sentences (Sequence[str]): The sentences; a longer one than MiniLM takes is cut,
            with a warning.

    Raises:
        ModuleNotFoundError: A package of the extra `text` is missing.
        ValueError: A sentence is empty.
    """
    rows = text_tokens(_tokenizer(), sentences, MAX_TOKENS)
    return rows, [_tokenizer().convert_ids_to_tokens(row[1:-1]) for row in rows]
