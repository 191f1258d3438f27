import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_relational.datasets.nlvr import (
    FIXED_WORDS,
    Statement,
    sentence_key,
    sentence_vocabulary,
    sentence_words,
    split_statements,
    without_sentences,
)

NOUNS = ("tower", "towers", "block", "Blocks", "box", "circle")
SENTENCES = st.builds(
    "There {} {} {} {}{}".format,
    st.sampled_from(["is", "are"]),
    st.sampled_from(["a", "the", "2", "two", "3"]),
    st.sampled_from(["black", "blue"]),
    st.sampled_from(NOUNS),
    st.sampled_from(["", ".", " ."]),
)


def statement(sentence, scene=0):
    return Statement((0, scene), sentence, 1, ((), (), ()))


def test_words():
    said = "There are 2 Blue squeres, and ablue blccks with 10 items."
    assert sentence_words(said) == [
        *("there", "are", "two", "blue", "squeres", ",", "and", "a", "blue", "blocks"),
        *("with", "10", "items", "."),
    ]


@pytest.mark.parametrize(
    "other",
    [
        "there is a tower with 3 blocks",
        "There is the tower with three blocks.",
        "There is tower, with three block!",
    ],
)
def test_near_duplicates(other):
    assert sentence_key(other) == sentence_key("There is a tower with three blocks.")


@pytest.mark.parametrize(
    "other",
    [
        "There is a tower with four blocks.",
        "There is a tower with three black blocks.",
        "There is with three blocks a tower.",
    ],
)
def test_no_near_duplicates(other):
    assert sentence_key(other) != sentence_key("There is a tower with three blocks.")


def test_short_words_keep_their_s():
    assert sentence_key("it is as I") == "it is as i"


@given(
    st.lists(SENTENCES, min_size=1, max_size=40),
    st.floats(0.05, 0.95),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_no_sentence_is_in_two_parts(sentences, fraction, seed):
    statements = [statement(text, i) for i, text in enumerate(sentences)]
    rng = np.random.default_rng(seed)
    train, val = split_statements(statements, fraction, rng)
    assert sorted(train + val) == sorted(statements)
    keys = [{sentence_key(s.sentence) for s in part} for part in (train, val)]
    assert not keys[0] & keys[1]
    number = len(keys[0] | keys[1])
    assert len(keys[1]) == round(fraction * number)
    again = split_statements(statements[::-1], fraction, np.random.default_rng(seed))
    assert sorted(again[1]) == sorted(val)


@given(st.lists(SENTENCES, max_size=20), st.lists(SENTENCES, max_size=20))
@settings(max_examples=60, deadline=None)
def test_what_others_say_is_left_out(sentences, others):
    statements = [statement(text, i) for i, text in enumerate(sentences)]
    kept = without_sentences(statements, map(statement, others))
    known = {sentence_key(text) for text in others}
    for said in statements:
        assert (said in kept) == (sentence_key(said.sentence) not in known)


def test_vocabulary():
    said = ["a tower of blue blocks", "a tower tower over it", "it is red"]
    statements = [statement(text, i) for text in said for i in range(4)]
    vocabulary = sentence_vocabulary(statements, 2)
    # Words are counted once a sentence; those that are looked for come first.
    assert vocabulary.tokens == ("<unk>", *FIXED_WORDS, "a", "it", "tower")
    every = sentence_vocabulary(statements, 1).tokens
    assert set(every) == {"<unk>", *FIXED_WORDS, *" ".join(said).split()}
