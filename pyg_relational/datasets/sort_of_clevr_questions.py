"""The words of Sort-of-CLEVR: colours, shapes, questions and answers."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pyg_relational.datasets.names import check_name

COLOURS = ("red", "green", "blue", "orange", "grey", "yellow")
SHAPES = ("circle", "square")
KINDS = ("non-relational", "relational")
SUBTYPES = (
    "shape",
    "left",
    "upper",
    "nearest_shape",
    "furthest_shape",
    "count_same_shape",
)
SUBTYPES_PER_KIND = 3
ANSWERS = ("circle", "square", "no", "yes", "1", "2", "3", "4", "5", "6")
REPRESENTATIONS = ("state", "pixels")


def kind_of(subtype: str) -> str:
    """Returns the kind of a question, one of `KINDS`.

    Args:
        subtype (str): One of `SUBTYPES`.

    Raises:
        ValueError: The subtype is unknown.
    """
    check_name("question kind", subtype, SUBTYPES)
    return KINDS[SUBTYPES.index(subtype) // SUBTYPES_PER_KIND]


def encode_questions(colour_id: Tensor, subtype_id: Tensor) -> Tensor:
    """Encodes questions as the one-hot colour followed by the one-hot subtype.

    Args:
        colour_id (Tensor): Index into `COLOURS`, int64.
        subtype_id (Tensor): Index into `SUBTYPES`, int64.

    Shapes:
        - **input:** twice `[*]`
        - **output:** `[*, 12]`, float32
    """
    colour = one_hot(colour_id, len(COLOURS))
    subtype = one_hot(subtype_id, len(SUBTYPES))
    return torch.cat([colour, subtype], dim=-1).float()


def encode_question(colour: str, subtype: str) -> Tensor:
    """Encodes one question as a vector `[12]`, a row of `u` in the dataset.

    Args:
        colour (str): The object that is asked about, one of `COLOURS`.
        subtype (str): What is asked, one of `SUBTYPES`.

    Raises:
        ValueError: The colour or the subtype is unknown.
    """
    check_name("question kind", subtype, SUBTYPES)
    check_name("colour", colour, COLOURS)
    return encode_questions(
        torch.tensor(COLOURS.index(colour)), torch.tensor(SUBTYPES.index(subtype))
    )


def parse_question(text: str) -> tuple[str, str]:
    """Reads a question such as `"nearest_shape red"`.

    Args:
        text (str): A subtype and a colour, separated by white space.

    Returns:
        tuple[str, str]: The subtype and the colour.

    Raises:
        TypeError: `text` is not a string.
        ValueError: There are not exactly two words, or one of them is unknown.
    """
    if not isinstance(text, str):
        raise TypeError(
            f"Expected a question as text such as 'nearest_shape red', got {text!r}."
        )
    words = text.split()
    if len(words) != 2:
        raise ValueError(
            f"Expected a question of two words, a kind and a colour, such as "
            f"'nearest_shape red', got {text!r}. Kinds: {', '.join(SUBTYPES)}. "
            f"Colours: {', '.join(COLOURS)}."
        )
    subtype, colour = words
    check_name("question kind", subtype, SUBTYPES)
    check_name("colour", colour, COLOURS)
    return subtype, colour


def question_text(question: Tensor) -> str:
    """Writes an encoded question as the text that `parse_question` reads.

    Args:
        question (Tensor): A row of `u`.

    Shapes:
        - **input:** `[12]`
    """
    colour, subtype = question.split([len(COLOURS), len(SUBTYPES)])
    return f"{SUBTYPES[int(subtype.argmax())]} {COLOURS[int(colour.argmax())]}"
