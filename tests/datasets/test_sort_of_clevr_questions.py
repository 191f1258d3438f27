import pytest

from pyg_relational.datasets.sort_of_clevr import (
    ANSWERS,
    COLOURS,
    SUBTYPES,
    encode_question,
    kind_of,
    parse_question,
    question_text,
)


def test_kinds():
    assert [kind_of(s) for s in SUBTYPES] == ["non-relational"] * 3 + ["relational"] * 3
    with pytest.raises(ValueError, match="did you mean 'nearest_shape'"):
        kind_of("nearest")


def test_encoding():
    question = encode_question("blue", "left")
    assert question.tolist() == [0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_every_question_survives_encoding_and_parsing():
    for colour in COLOURS:
        for subtype in SUBTYPES:
            text = question_text(encode_question(colour, subtype))
            assert parse_question(text) == (subtype, colour)


def test_ten_answers():
    assert ANSWERS == ("circle", "square", "no", "yes", "1", "2", "3", "4", "5", "6")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nearest_shap red", "question kind 'nearest_shap'; did you mean 'nearest_sha"),
        ("shape gray", "colour 'gray'; did you mean 'grey'"),
        ("shape", "two words"),
        ("what shape red", "two words"),
        ("", "two words"),
    ],
)
def test_unreadable_question(text, message):
    with pytest.raises(ValueError, match=message):
        parse_question(text)


def test_question_must_be_text():
    with pytest.raises(TypeError, match="as text"):
        parse_question(["shape", "red"])


def test_unknown_words_cannot_be_encoded():
    with pytest.raises(ValueError, match="colour 'purple'"):
        encode_question("purple", "shape")
    with pytest.raises(ValueError, match="question kind 'size'"):
        encode_question("red", "size")
