"""Single Sort-of-CLEVR scenes: made from a description, or turned into a picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.sort_of_clevr_generator import (
    COLOUR_VALUES,
    FIRST_CENTRE,
    IMAGE_SIZE,
    LAST_CENTRE,
    MIN_SQUARED_DISTANCE,
    Questions,
    Scenes,
    draw_scenes,
    scene_tensors,
)
from pyg_relational.datasets.sort_of_clevr_questions import (
    COLOURS,
    REPRESENTATIONS,
    SHAPES,
    SUBTYPES,
    parse_question,
)

OBJECT_KEYS = ("colour", "shape", "x", "y")


def scene_from_objects(
    objects: Sequence[Mapping[str, Any]],
    questions: Sequence[str],
    representation: str = "state",
) -> Data:
    """Makes the `Data` object of one scene, answers included, from a description.

    Args:
        objects (Sequence[Mapping[str, Any]]): One mapping an object with `colour`,
            `shape`, and its centre `x` (column) and `y` (row, 0 at the top) in whole
            pixels from 5 to 69. Each colour occurs at most once; squared centre
            distances exceed 100. The rows of the result are in the order of
            `COLOURS`.
        questions (Sequence[str]): Questions such as `"nearest_shape red"`.
        representation (str): `"state"` or `"pixels"`. (default: `"state"`)

    Raises:
        TypeError: An argument or an entry has the wrong type.
        ValueError: A name is unknown, a key is missing, objects overlap or lie
            outside, a question names an absent colour or needs a second object.
    """
    check_name("representation", representation, REPRESENTATIONS)
    _check_list("objects", objects)
    _check_list("questions", questions)
    rows = sorted(_read_object(i, entry) for i, entry in enumerate(objects))
    colour, shape, x, y = np.array(rows, dtype=np.int64).T
    scenes = Scenes(colour, shape[None], np.stack([x, y], axis=-1)[None])
    _check_layout(scenes)
    tensors = scene_tensors(scenes, _read_questions(questions, colour), representation)
    scene = Data(**{name: value[0] for name, value in tensors.items()})
    if representation == "pixels":
        scene.num_nodes = len(colour)
    return scene


def scene_objects(scene: Data) -> dict[str, Any]:
    """Returns how the objects of one scene are called and drawn.

    Args:
        scene (Data): A scene as a state description.

    Returns:
        dict: `names` such as `"red circle"`, `positions` `[n, 2]` in pixels with y
        upwards, `colors` (RGB from 0 to 1) and `shapes`.
    """
    colours = scene.x[:, : len(COLOURS)].argmax(dim=-1).tolist()
    shapes = [SHAPES[index] for index in scene.shape_id.tolist()]
    positions = scene.position.float()
    return {
        "names": [
            f"{COLOURS[index]} {shape}"
            for index, shape in zip(colours, shapes, strict=True)
        ],
        "positions": torch.stack(
            [positions[:, 0], IMAGE_SIZE - 1 - positions[:, 1]], dim=1
        ),
        "colors": [
            tuple(value / 255 for value in COLOUR_VALUES[index]) for index in colours
        ],
        "shapes": shapes,
    }


def scene_image(scene: Data) -> Tensor:
    """Returns the picture `[3, 75, 75]` of one scene, uint8 RGB.

    Args:
        scene (Data): A scene in either representation.
    """
    if "image" in scene:
        return scene.image[0]
    colour = scene.x[:, : len(COLOURS)].argmax(dim=-1).numpy()
    shape = scene.shape_id.numpy()[None]
    position = scene.position.long().numpy()[None]
    return draw_scenes(Scenes(colour, shape, position))[0]


def _check_list(argument: str, value: object) -> None:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(
            f"Expected `{argument}` to be a list, got {type(value).__name__}."
        )
    if not value:
        raise ValueError(f"Expected at least one entry in `{argument}`, got none.")


def _read_object(i: int, entry: object) -> tuple[int, int, int, int]:
    """Returns colour index, shape index, column and row of an object."""
    if not isinstance(entry, Mapping):
        raise TypeError(
            f"Expected `objects[{i}]` to be a mapping with the keys "
            f"{', '.join(OBJECT_KEYS)}, got {entry!r}."
        )
    for key in entry:
        check_name(f"key in `objects[{i}]`", key, OBJECT_KEYS)
    missing = [key for key in OBJECT_KEYS if key not in entry]
    if missing:
        raise ValueError(f"`objects[{i}]` lacks {', '.join(missing)}: {dict(entry)}.")
    colour = check_name(f"colour in `objects[{i}]`", entry["colour"], COLOURS)
    shape = check_name(f"shape in `objects[{i}]`", entry["shape"], SHAPES)
    return (
        COLOURS.index(colour),
        SHAPES.index(shape),
        _read_centre(f"objects[{i}].x", entry["x"]),
        _read_centre(f"objects[{i}].y", entry["y"]),
    )


def _read_centre(argument: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"Expected `{argument}` to be a number, got {value!r}.")
    if not FIRST_CENTRE <= value <= LAST_CENTRE or value != int(value):
        raise ValueError(
            f"Expected `{argument}` to be a whole pixel from {FIRST_CENTRE} to "
            f"{LAST_CENTRE}, so that the object lies inside the image, got {value!r}."
        )
    return int(value)


def _check_layout(scenes: Scenes) -> None:
    names = [COLOURS[c] for c in scenes.colour]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"Expected each colour at most once in `objects`, as questions name "
            f"objects by colour, got more than one {' and '.join(twice)} object."
        )
    position = scenes.position[0]
    distance = ((position[:, None] - position[None]) ** 2).sum(-1)
    for i, j in zip(*np.triu_indices(len(names), k=1), strict=True):
        if distance[i, j] <= MIN_SQUARED_DISTANCE:
            raise ValueError(
                f"The {names[i]} and the {names[j]} object overlap: expected a squared "
                f"distance of their centres above {MIN_SQUARED_DISTANCE}, got "
                f"{distance[i, j]}. Move one of them."
            )


def _read_questions(questions: Sequence[str], colour: np.ndarray) -> Questions:
    present = [COLOURS[c] for c in colour]
    asked, subtypes = [], []
    for text in questions:
        subtype, name = parse_question(text)
        if name not in present:
            raise ValueError(
                f"Question {text!r} asks about a {name} object, but the scene has "
                f"only {', '.join(present)}."
            )
        if subtype in ("nearest_shape", "furthest_shape") and len(present) < 2:
            raise ValueError(
                f"Question {text!r} needs a second object, but the scene has only "
                f"{present[0]}."
            )
        asked.append(present.index(name))
        subtypes.append(SUBTYPES.index(subtype))
    return Questions(np.array([asked]), np.array([subtypes]))
