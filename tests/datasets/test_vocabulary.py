import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyg_relational._files import read_verified, write_verified
from pyg_relational.datasets.vocabulary import UNKNOWN, Vocabulary, tokenize

TEXTS = [["a", "cat", "sat"], ["a", "dog", "sat"], ["a", "bird"]]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Where is Mary?", ["where", "is", "mary", "?"]),
        ("I DON'T know", ["i", "do", "n't", "know"]),
        ("the film's end...", ["the", "film", "'s", "end", ".", ".", "."]),
        ("it\u2019s 2 1/2", ["it", "'s", "2", "1", "/", "2"]),
        ("touché", ["touché"]),
        (" \n", []),
    ],
)
def test_texts_are_split_into_words_numbers_and_marks(text, tokens):
    assert tokenize(text) == tokens


@given(st.text())
def test_tokens_lose_nothing_but_case_and_space(text):
    spaceless = "".join(text.lower().replace("\u2019", "'").split())
    assert "".join(tokenize(text)) == spaceless


def test_frequent_tokens_come_first_then_the_alphabet_decides():
    vocabulary = Vocabulary.from_texts(TEXTS)
    assert vocabulary.tokens == (UNKNOWN, "a", "sat", "bird", "cat", "dog")
    assert vocabulary.tokens == Vocabulary.from_texts(reversed(TEXTS)).tokens
    assert len(vocabulary) == 6
    assert "cat" in vocabulary
    assert "cow" not in vocabulary
    assert str(vocabulary) == "Vocabulary(6)"


def test_rare_tokens_are_left_out():
    assert Vocabulary.from_texts(TEXTS, min_count=2).tokens == (UNKNOWN, "a", "sat")
    assert Vocabulary.from_texts(TEXTS, max_size=2).tokens == (UNKNOWN, "a")


def test_unknown_tokens_get_number_0():
    vocabulary = Vocabulary.from_texts([*TEXTS, [UNKNOWN] * 9])
    ids = vocabulary.encode(["a", "purple", "dog"])
    assert ids.tolist() == [1, 0, 5]
    assert vocabulary.decode(ids) == ["a", UNKNOWN, "dog"]
    assert vocabulary.encode([]).dtype == ids.dtype


def test_strict_encoding_names_the_unknown_token():
    vocabulary = Vocabulary.from_texts(TEXTS)
    assert vocabulary.encode(["a", "dog"], strict=True).tolist() == [1, 5]
    with pytest.raises(ValueError, match=r"'purple' at position 1 of 'a purple dog'"):
        vocabulary.encode(["a", "purple", "dog"], strict=True)


@given(st.lists(st.lists(st.text(min_size=1), min_size=1), min_size=1))
def test_known_tokens_survive_the_round_trip(texts):
    vocabulary = Vocabulary.from_texts(texts)
    for text in texts:
        assert vocabulary.decode(vocabulary.encode(text)) == text


def test_a_vocabulary_can_be_stored(tmp_path):
    vocabulary = Vocabulary.from_texts(TEXTS)
    write_verified(tmp_path / "v.pt", {"tokens": list(vocabulary.tokens)})
    again = Vocabulary(read_verified(tmp_path / "v.pt")["tokens"])
    assert again.tokens == vocabulary.tokens


@pytest.mark.parametrize(
    "method", [Vocabulary.from_texts, Vocabulary([UNKNOWN]).encode]
)
def test_a_text_that_is_not_split_is_refused(method):
    texts = ["a cat"] if method == Vocabulary.from_texts else "a cat"
    with pytest.raises(TypeError, match="tokenize"):
        method(texts)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Vocabulary(["a", UNKNOWN]), "start with '<unk>'"),
        (lambda: Vocabulary([]), "start with '<unk>'"),
        (lambda: Vocabulary([UNKNOWN, "a", "b", "a"]), "'a' twice"),
        (lambda: Vocabulary.from_texts(TEXTS, min_count=0), "`min_count`"),
        (lambda: Vocabulary.from_texts(TEXTS, max_size=0), "`max_size`"),
        (lambda: Vocabulary([UNKNOWN, "a"]).decode([1, 2]), "from 0 to 1, got 2"),
        (lambda: Vocabulary([UNKNOWN, "a"]).decode([-1]), "got -1"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
