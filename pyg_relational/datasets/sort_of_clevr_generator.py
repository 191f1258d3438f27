"""Sort-of-CLEVR scenes, questions, answers and pictures, many at a time.

Every function works on `B` scenes of `n` objects with `Q` questions each.
Definitions: Santoro et al. 2017, "A simple neural network module for relational
reasoning", supplementary material; the card in `datasets/sort-of-clevr` lists the
choices that the paper leaves open.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from pyg_relational.datasets.sort_of_clevr_questions import (
    ANSWERS,
    SHAPES,
    SUBTYPES,
    SUBTYPES_PER_KIND,
    encode_questions,
)

IMAGE_SIZE = 75
HALF_SIZE = 5
FIRST_CENTRE = HALF_SIZE
LAST_CENTRE = IMAGE_SIZE - 1 - HALF_SIZE
MIN_SQUARED_DISTANCE = (2 * HALF_SIZE) ** 2
QUESTIONS_PER_KIND = 10
BACKGROUND = (255, 255, 255)
# In the order of COLOURS.
COLOUR_VALUES = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 156, 0),
    (128, 128, 128),
    (255, 255, 0),
)

IntArray = NDArray[np.int64]


class Scenes(NamedTuple):
    """`B` scenes with the same colours.

    Attributes:
        colour: `[n]`, index into `COLOURS`, ascending.
        shape: `[B, n]`, index into `SHAPES`.
        position: `[B, n, 2]`, centres (column, row) in pixels, row 0 at the top.
    """

    colour: IntArray
    shape: IntArray
    position: IntArray


class Questions(NamedTuple):
    """`Q` questions about each of `B` scenes.

    Attributes:
        asked: `[B, Q]`, the row of the object that is asked about.
        subtype: `[B, Q]`, index into `SUBTYPES`.
    """

    asked: IntArray
    subtype: IntArray


def sample_scenes(
    num_scenes: int, num_objects: int, rng: np.random.Generator
) -> Scenes:
    """Draws scenes of the first `num_objects` colours at random places.

    Objects are placed one after the other, uniformly over the pixels in
    `[5, 69]` whose squared distance to every earlier centre exceeds 100.
    """
    shape = rng.integers(len(SHAPES), size=(num_scenes, num_objects))
    position = np.empty((num_scenes, num_objects, 2), dtype=np.int64)
    for k in range(num_objects):
        pending = np.arange(num_scenes)
        while pending.size:
            centre = rng.integers(
                FIRST_CENTRE, LAST_CENTRE, size=(pending.size, 2), endpoint=True
            )
            position[pending, k] = centre
            offset = position[pending, :k] - centre[:, None]
            overlaps = (offset**2).sum(-1) <= MIN_SQUARED_DISTANCE
            pending = pending[overlaps.any(-1)]
    return Scenes(np.arange(num_objects), shape, position)


def sample_questions(
    num_scenes: int, num_objects: int, rng: np.random.Generator
) -> Questions:
    """Draws ten non-relational, then ten relational questions for every scene.

    The object and the subtype within the kind are uniform and independent.
    """
    size = (num_scenes, 2 * QUESTIONS_PER_KIND)
    asked = rng.integers(num_objects, size=size)
    subtype = rng.integers(SUBTYPES_PER_KIND, size=size)
    subtype[:, QUESTIONS_PER_KIND:] += SUBTYPES_PER_KIND
    return Questions(asked, subtype)


def answer_questions(scenes: Scenes, questions: Questions) -> tuple[IntArray, IntArray]:
    """Answers questions.

    Nearest and furthest leave out the object that is asked about; of objects at the
    same distance the one with the lowest colour index counts. The left half is
    `2 * column < 75`, so the middle column 37 belongs to it; the upper half
    likewise. The count includes the object that is asked about.

    Returns:
        tuple[IntArray, IntArray]: `[B, Q]` answers as indices into `ANSWERS`, and
        `[B, Q]` the row of the nearest or furthest object, -1 for other subtypes.
    """
    shape, position = scenes.shape, scenes.position
    same = shape[:, :, None] == shape[:, None, :]
    distance = ((position[:, :, None] - position[:, None, :]) ** 2).sum(-1)
    myself = np.eye(shape.shape[1], dtype=bool)
    nearest = np.where(myself, 2 * IMAGE_SIZE**2, distance).argmin(-1)
    furthest = np.where(myself, -1, distance).argmax(-1)
    nobody = np.full_like(shape, -1)
    first_half = (2 * position < IMAGE_SIZE) + ANSWERS.index("no")
    answers = {
        "shape": shape,
        "left": first_half[..., 0],
        "upper": first_half[..., 1],
        "nearest_shape": np.take_along_axis(shape, nearest, axis=1),
        "furthest_shape": np.take_along_axis(shape, furthest, axis=1),
        "count_same_shape": same.sum(-1) - 1 + ANSWERS.index("1"),
    }
    deciders = {"nearest_shape": nearest, "furthest_shape": furthest}
    # [B, 6, n]: the answer to every question that can be asked.
    every_answer = np.stack([answers[name] for name in SUBTYPES], axis=1)
    every_decider = np.stack([deciders.get(s, nobody) for s in SUBTYPES], axis=1)
    chosen = (np.arange(len(shape))[:, None], questions.subtype, questions.asked)
    return every_answer[chosen], every_decider[chosen]


def draw_scenes(scenes: Scenes) -> Tensor:
    """Draws scenes as images `[B, 3, 75, 75]`, uint8 RGB on white.

    A square covers 11 x 11 pixels, a circle those less than 5.5 from its centre.
    A square may cover a corner of its neighbour; the higher colour index is on top.
    """
    num_scenes = len(scenes.shape)
    offset = np.arange(-HALF_SIZE, HALF_SIZE + 1)
    rows, columns = (grid.ravel() for grid in np.meshgrid(offset, offset))
    inside = {
        "circle": rows**2 + columns**2 < (HALF_SIZE + 0.5) ** 2,
        "square": np.ones_like(rows, dtype=bool),
    }
    label = np.zeros(num_scenes * IMAGE_SIZE**2, dtype=np.uint8)
    start = np.arange(num_scenes) * IMAGE_SIZE**2
    centre = start[:, None] + scenes.position @ np.array([1, IMAGE_SIZE])
    for k, colour in enumerate(scenes.colour):
        for shape_id, shape in enumerate(SHAPES):
            stamp = (rows * IMAGE_SIZE + columns)[inside[shape]]
            drawn = scenes.shape[:, k] == shape_id
            label[centre[drawn, k, None] + stamp] = colour + 1
    palette = np.array([BACKGROUND, *COLOUR_VALUES], dtype=np.uint8)
    # [B * 75 * 75] -> [B, 75 * 75]
    label_rows = label.reshape(num_scenes, IMAGE_SIZE**2)
    image = np.empty((num_scenes, 3, IMAGE_SIZE**2), dtype=np.uint8)
    for channel in range(3):
        image[:, channel] = palette[label_rows, channel]
    # [B, 3, 75 * 75] -> [B, 3, 75, 75]
    return torch.from_numpy(image).view(num_scenes, 3, IMAGE_SIZE, IMAGE_SIZE)


def describe_scenes(scenes: Scenes) -> Tensor:
    """Describes objects by rows `[B, n, 10]`, float32.

    A row is the one-hot colour (6), the one-hot shape (2), and column and row of the
    centre, scaled so that the allowed range `[5, 69]` becomes `[-1, 1]`.
    """
    shape = one_hot(torch.from_numpy(scenes.shape), len(SHAPES)).float()
    colour = one_hot(torch.from_numpy(scenes.colour), len(COLOUR_VALUES)).float()
    colour = colour.expand(len(shape), -1, -1)
    middle = (FIRST_CENTRE + LAST_CENTRE) / 2
    position = torch.from_numpy(scenes.position).float()
    place = (position - middle) / (LAST_CENTRE - middle)
    return torch.cat([colour, shape, place], dim=-1)


def scene_tensors(
    scenes: Scenes, questions: Questions, representation: str
) -> dict[str, Tensor]:
    """Returns the attributes of the dataset's `Data` objects, stacked over scenes.

    Args:
        scenes (Scenes): The scenes.
        questions (Questions): Questions about each of them.
        representation (str): `"state"` (gives `x`) or `"pixels"` (gives `image`).
    """
    answer, decider = answer_questions(scenes, questions)
    subtype = torch.from_numpy(questions.subtype)
    asked_colour = torch.from_numpy(scenes.colour[questions.asked])
    if representation == "state":
        tensors = {"x": describe_scenes(scenes)}
    else:
        # One image a scene: [B, 3, 75, 75] -> [B, 1, 3, 75, 75]
        tensors = {"image": draw_scenes(scenes).unsqueeze(1)}
    return tensors | {
        "position": torch.from_numpy(scenes.position).float(),
        "shape_id": torch.from_numpy(scenes.shape),
        "u": encode_questions(asked_colour, subtype),
        "y": torch.from_numpy(answer),
        "question_kind": subtype // SUBTYPES_PER_KIND,
        "question_subtype": subtype,
        "pair": torch.from_numpy(np.stack([questions.asked, decider], axis=-1)),
    }
