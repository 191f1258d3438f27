import multiprocessing
import os
import signal
import sqlite3
import time
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_relational.datasets import EmbeddingCache, embedding_cache

CONTENTS = [b"a", b"bb", b"", b"a"]


class Encoder:
    """Embeddings of different shapes, and what was asked for."""

    def __init__(self, contents, offset=0.0):
        self.contents, self.offset, self.calls = contents, offset, []

    def __call__(self, places):
        self.calls.append([self.contents[place] for place in places])
        return [expected(self.contents[place], self.offset) for place in places]


def expected(content, offset=0.0):
    return torch.arange(2.0 * len(content)).view(-1, 2) + sum(content) + offset


def test_each_content_is_encoded_once(tmp_path):
    cache, encode = EmbeddingCache(tmp_path / "new", "key"), Encoder(CONTENTS)
    for _ in range(2):
        found = cache.embeddings(CONTENTS, encode, batch_size=2)
        for tensor, content in zip(found, CONTENTS, strict=True):
            assert torch.equal(tensor, expected(content))
            assert tensor.shape == (len(content), 2)
    assert encode.calls == [[b"a", b"bb"], [b""]]
    more = Encoder([b"c", b"bb"])
    assert torch.equal(cache.embeddings([b"c", b"bb"], more)[1], expected(b"bb"))
    assert more.calls == [[b"c"]]


def test_another_encoder_has_its_own_entries(tmp_path):
    EmbeddingCache(tmp_path, "key").embeddings([b"a"], Encoder([b"a"]))
    other = Encoder([b"a"], offset=0.5)
    (found,) = EmbeddingCache(tmp_path, "key2").embeddings([b"a"], other)
    assert torch.equal(found, expected(b"a", 0.5))
    # The border between key and content counts.
    (found,) = EmbeddingCache(tmp_path, "k").embeddings([b"eya"], Encoder([b"eya"]))
    assert torch.equal(found, expected(b"eya"))
    (found,) = EmbeddingCache(tmp_path, "key").embeddings([b"a"], Encoder([]))
    assert torch.equal(found, expected(b"a"))


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(
        [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool]
    ),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 2**31),
)
def test_tensors_come_back_bit_by_bit(tmp_path_factory, dtype, shape, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, 2, generator=generator)
    # Neither contiguous nor without a graph.
    tensor = values.requires_grad_().transpose(0, -1)
    tensor = tensor > 0 if dtype == torch.bool else tensor.to(dtype)
    cache = EmbeddingCache(tmp_path_factory.mktemp("cache"), "key")
    for _ in range(2):
        (found,) = cache.embeddings([b"a"], lambda places: [tensor])
        assert found.dtype == dtype
        assert found.shape == tensor.shape
        assert torch.equal(found, tensor)
        assert not found.requires_grad


def test_a_tensor_of_one_number(tmp_path):
    cache = EmbeddingCache(tmp_path, "key")
    for _ in range(2):
        (found,) = cache.embeddings([b"a"], lambda places: [torch.tensor(3.5)])
        assert found.shape == ()
        assert found.item() == 3.5


def test_what_was_computed_before_an_error_is_kept(tmp_path):
    contents = [bytes([i]) for i in range(10)]
    encode = Encoder(contents)

    def breaks(places):
        if 6 in places:
            raise RuntimeError("interrupted")
        return encode(places)

    cache = EmbeddingCache(tmp_path, "key")
    with pytest.raises(RuntimeError, match="interrupted"):
        cache.embeddings(contents, breaks, batch_size=3)
    encode.calls.clear()
    cache.embeddings(contents, encode, batch_size=3)
    assert encode.calls == [contents[6:9], contents[9:]]


def compute(folder, numbers, pause, at):
    contents = [bytes([i]) for i in numbers]

    def encode(places):
        time.sleep(pause)
        return [expected(contents[place]) for place in places]

    at.wait()
    EmbeddingCache(folder, "key").embeddings(contents, encode, 2, progress=False)


def test_processes_share_a_cache(tmp_path):
    # The file does not exist yet, and the contents overlap.
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    workers = [
        context.Process(target=compute, args=(tmp_path, range(i, i + 30), 0.0, barrier))
        for i in (0, 10, 20)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    contents = [bytes([i]) for i in range(50)]
    found = EmbeddingCache(tmp_path, "key").embeddings(contents, Encoder([]))
    for tensor, content in zip(found, contents, strict=True):
        assert torch.equal(tensor, expected(content))


def test_a_killed_process_leaves_what_it_finished(tmp_path):
    context = multiprocessing.get_context("fork")
    event = context.Event()
    event.set()
    worker = context.Process(target=compute, args=(tmp_path, range(100), 0.05, event))
    worker.start()
    file = tmp_path / embedding_cache.FILE_NAME
    while not file.exists() or count(file) < 4:
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    contents = [bytes([i]) for i in range(100)]
    encode = Encoder(contents)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = EmbeddingCache(tmp_path, "key").embeddings(contents, encode)
    assert 4 <= 100 - sum(map(len, encode.calls)) < 100
    assert encode.calls[-1][-1] == contents[-1]
    for tensor, content in zip(found, contents, strict=True):
        assert torch.equal(tensor, expected(content))


def count(file):
    connection = sqlite3.connect(file)
    try:
        return connection.execute("SELECT count(*) FROM embeddings").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "content = zeroblob(length(content))",
        "content = substr(content, 2)",
        "content = NULL",
        "shape = '2 1'",
        "shape = NULL",
        "dtype = 'int32'",
        "dtype = 'load'",
        "checksum = x'00'",
    ],
)
def test_a_damaged_entry_is_computed_again(tmp_path, change):
    contents = [b"a", b"b"]
    cache = EmbeddingCache(tmp_path, "key")
    cache.embeddings(contents, Encoder(contents))
    key = cache._key(b"a")
    connection = sqlite3.connect(cache.path)
    connection.execute(f"UPDATE embeddings SET {change} WHERE key = ?", (key,))
    connection.commit()
    connection.close()
    encode = Encoder(contents)
    with pytest.warns(UserWarning, match=f"entry {key.hex()[:12]} .* is damaged"):
        found = cache.embeddings(contents, encode)
    assert torch.equal(found[0], expected(b"a"))
    assert encode.calls == [[b"a"]]
    # It is sound again.
    cache.embeddings(contents, Encoder([]))


def test_an_entry_in_another_place_is_damaged(tmp_path):
    cache = EmbeddingCache(tmp_path, "key")
    cache.embeddings([b"a"], Encoder([b"a"]))
    connection = sqlite3.connect(cache.path)
    connection.execute("UPDATE embeddings SET key = ?", (cache._key(b"b"),))
    connection.commit()
    connection.close()
    with pytest.warns(UserWarning, match="is damaged"):
        (found,) = cache.embeddings([b"b"], Encoder([b"b"]))
    assert torch.equal(found, expected(b"b"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"not a database" * 100,
        lambda content: b"x" * 100 + content[100:],
        lambda content: content[:100] + b"\xff" * (len(content) - 100),
    ],
)
def test_a_damaged_file_is_set_aside(tmp_path, damage):
    cache = EmbeddingCache(tmp_path, "key")
    cache.embeddings([b"a"], Encoder([b"a"]))
    broken = damage(cache.path.read_bytes())
    cache.path.write_bytes(broken)
    encode = Encoder([b"a"])
    with pytest.warns(UserWarning, match=r"sqlite3' is damaged \(.*\); its embed"):
        (found,) = cache.embeddings([b"a"], encode)
    assert torch.equal(found, expected(b"a"))
    assert encode.calls == [[b"a"]]
    assert Path(f"{cache.path}.damaged").read_bytes() == broken
    cache.embeddings([b"a"], Encoder([]))


def test_an_empty_file_is_a_new_one(tmp_path):
    (tmp_path / embedding_cache.FILE_NAME).write_bytes(b"")
    cache = EmbeddingCache(tmp_path, "key")
    (found,) = cache.embeddings([b"a"], Encoder([b"a"]))
    assert torch.equal(found, expected(b"a"))


def test_a_file_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / embedding_cache.FILE_NAME).mkdir()
    with pytest.raises(OSError, match=r"Cannot use the cache '.*embeddings\.sqlite3'"):
        EmbeddingCache(tmp_path, "key").embeddings([b"a"], Encoder([b"a"]))
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        EmbeddingCache(tmp_path / "file", "key").embeddings([b"a"], Encoder([b"a"]))


def test_a_bar_is_shown_for_what_is_computed(tmp_path, monkeypatch):
    shown = []

    class Bar:
        def __init__(self, total, desc, disable):
            shown.append([total, disable])

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def update(self, count):
            shown[-1].append(count)

    monkeypatch.setattr(embedding_cache, "tqdm", Bar)
    cache = EmbeddingCache(tmp_path, "key")
    cache.embeddings([b"a", b"b", b"c"], Encoder([b"a", b"b", b"c"]), batch_size=2)
    cache.embeddings([b"a", b"b", b"c"], Encoder([]))
    cache.embeddings([b"d"], Encoder([b"d"]), progress=False)
    assert shown == [[3, None, 2, 1], [1, True, 1]]


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match="`encoder` to name"):
        EmbeddingCache(tmp_path, "")
    cache = EmbeddingCache(tmp_path, "key")
    with pytest.raises(TypeError, match=r"got str; encode text with `\.encode\(\)`"):
        cache.embeddings(["a"], Encoder([b"a"]))
    with pytest.raises(ValueError, match="one tensor for each of 2 contents, got 1"):
        cache.embeddings([b"a", b"b"], lambda places: [torch.zeros(1)])
    with pytest.raises(TypeError, match="to return tensors, got float"):
        cache.embeddings([b"a"], lambda places: [1.0])
    with pytest.raises(ValueError, match="`batch_size` to be at least 1"):
        cache.embeddings([b"a"], Encoder([b"a"]), batch_size=0)
    assert not cache.path.exists()
