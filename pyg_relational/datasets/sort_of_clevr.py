"""The Sort-of-CLEVR dataset.

Every function works on `B` scenes of `n` objects with `Q` questions each.
Definitions: Santoro et al. 2017, "A simple neural network module for relational
reasoning", supplementary material; the card in `datasets/sort-of-clevr` lists the
choices that the paper leaves open.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.data import Data

from pyg_relational._checks import check_int, check_name
from pyg_relational.datasets.base import (
    SPLITS,
    Filter,
    GeneratedDataset,
    Slices,
    StoredDataset,
    Transform,
    collate_stacked,
    split_size,
)
from pyg_relational.datasets.on_disk import ChunkedOnDiskDataset

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
OBJECT_KEYS = ("colour", "shape", "x", "y")

IntArray = NDArray[np.int64]


def kind_of(subtype: str) -> str:
    """Returns the kind of a question, one of `KINDS`."""
    check_name("question kind", subtype, SUBTYPES)
    return KINDS[SUBTYPES.index(subtype) // SUBTYPES_PER_KIND]


def encode_questions(colour_id: Tensor, subtype_id: Tensor) -> Tensor:
    """Encodes questions as the one-hot colour followed by the one-hot subtype."""
    colour = one_hot(colour_id, len(COLOURS))
    subtype = one_hot(subtype_id, len(SUBTYPES))
    return torch.cat([colour, subtype], dim=-1).float()


def parse_question(text: str) -> tuple[str, str]:
    """Reads a question such as `"nearest_shape red"`."""
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
    """Writes an encoded question as the text that `parse_question` reads."""
    colour, subtype = question.split([len(COLOURS), len(SUBTYPES)])
    return f"{SUBTYPES[int(subtype.argmax())]} {COLOURS[int(colour.argmax())]}"


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
    likewise. The count includes the object that is asked about."""
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
    """Returns the attributes of the dataset's `Data` objects, stacked over scenes."""
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
    """Returns how the objects of one scene are called and drawn."""
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
    """Returns the picture `[3, 75, 75]` of one scene, uint8 RGB."""
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


def generate(
    num_scenes: int, num_objects: int, representation: str, rng: np.random.Generator
) -> tuple[Data, Slices]:
    """Generates scenes, one after the other, with their slices."""
    scenes = sample_scenes(num_scenes, num_objects, rng)
    questions = sample_questions(num_scenes, num_objects, rng)
    tensors = scene_tensors(scenes, questions, representation)
    return collate_stacked(tensors, None if "x" in tensors else num_objects)


class SortOfCLEVRTask:
    """What both forms of Sort-of-CLEVR, in memory and on disk, have in common."""

    task = "classification"
    num_answers = len(ANSWERS)
    COLOURS = COLOURS
    SHAPES = SHAPES
    KINDS = KINDS
    SUBTYPES = SUBTYPES
    ANSWERS = ANSWERS
    kind_of = staticmethod(kind_of)
    # What prediction and pictures need, found through the class of a recipe.
    question_text = staticmethod(question_text)
    scene_from_objects = staticmethod(scene_from_objects)
    scene_image = staticmethod(scene_image)
    scene_objects = staticmethod(scene_objects)

    split: str
    num_samples: int
    seed: int

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which answers are scored, with their names.

        The index of a question within group `g` is the attribute `question_<g>`.
        """
        return {"kind": KINDS, "subtype": SUBTYPES}

    def _choose(self, representation: str, num_objects: int) -> None:
        self.representation = check_name(
            "representation", representation, REPRESENTATIONS
        )
        self.num_objects = check_int("num_objects", num_objects, 2, len(COLOURS))

    def _name(self) -> str:
        return (
            f"{self.split}-{self.representation}-scenes{self.num_samples}"
            f"-objects{self.num_objects}-seed{self.seed}"
        )


class SortOfCLEVR(SortOfCLEVRTask, GeneratedDataset):
    r"""Sort-of-CLEVR of `"A simple neural network module for relational reasoning"
    <https://arxiv.org/abs/1706.01427>`_: questions about coloured circles and squares.

    A scene is one :class:`~torch_geometric.data.Data` object with 20 questions, ten
    non-relational ones first. It is generated on the first use, from the seed alone,
    and stored once; `DataLoader(dataset, follow_batch=["u"])` adds `u_batch`, the
    scene of each question.

    Unlike the paper, there is a validation split, apart from the 9,800 + 200 scenes.

    Args:
        root (str): Folder of the dataset.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        representation (str): `"state"` (rows of attributes) or `"pixels"`.
            (default: `"state"`)
        num_objects (int): Objects a scene, 2 to 6, of the first colours in
            `COLOURS`. (default: `6`)
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.GeneratedDataset`.

    Shapes:
        - **x:** `[n, 10]` colour one-hot, shape one-hot, column and row in `[-1, 1]`
          (only `"state"`)
        - **image:** `[1, 3, 75, 75]` uint8 RGB (only `"pixels"`)
        - **position:** `[n, 2]` centre (column, row) in pixels, row 0 at the top
        - **shape_id:** `[n]` index into `SHAPES`
        - **u:** `[20, 12]` colour one-hot of the asked object, subtype one-hot
        - **y:** `[20]` index into `ANSWERS`
        - **question_kind:** `[20]` index into `KINDS`
        - **question_subtype:** `[20]` index into `SUBTYPES`
        - **pair:** `[20, 2]` row in the scene of the asked object, and of the nearest
          or furthest one (-1 for other subtypes); not shifted by batching
    """

    sizes = (9800, 200, 200)

    def __init__(
        self,
        root: str,
        split: str = "train",
        representation: str = "state",
        num_objects: int = 6,
        **kwargs: Any,
    ) -> None:
        self._choose(representation, num_objects)
        super().__init__(root, split, **kwargs)

    def generate(self) -> tuple[Data, Slices]:
        return generate(
            self.num_samples, self.num_objects, self.representation, self.stream()
        )


class SortOfCLEVROnDisk(SortOfCLEVRTask, ChunkedOnDiskDataset):
    r"""Sort-of-CLEVR with as many scenes as fit on the disk.

    Scenes are as in :class:`~pyg_relational.datasets.SortOfCLEVR`, with other random
    numbers: each chunk has its own random stream. They are generated on the first use,
    by several processes where asked for, and read when they are needed.

    Args:
        root, split, representation, num_train, num_val, num_test, num_objects, seed:
            As for :class:`~pyg_relational.datasets.SortOfCLEVR`.
        chunk_size (int): Scenes of a random stream, which are stored at once; part of
            the file name. (default: `10_000`)
        transform, pre_transform, pre_filter, workers, force_reload: As for
            :class:`~pyg_relational.datasets.ChunkedOnDiskDataset`.
    """

    def __init__(
        self,
        root: str,
        split: str = "train",
        representation: str = "state",
        num_train: int = 9800,
        num_val: int = 200,
        num_test: int = 200,
        num_objects: int = 6,
        seed: int = 0,
        chunk_size: int = 10_000,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        workers: int = 1,
        force_reload: bool = False,
    ) -> None:
        self._choose(representation, num_objects)
        self.num_samples = size = split_size(split, num_train, num_val, num_test)
        self.split = split
        self.seed = check_int("seed", seed, 0)
        self.chunk_size = check_int("chunk_size", chunk_size, 1)
        super().__init__(
            root,
            f"{self._name()}-v{StoredDataset.format_version}-chunks{chunk_size}.db",
            partial(
                _generate_chunk,
                size=size,
                chunk_size=chunk_size,
                num_objects=num_objects,
                representation=representation,
                stream=(seed, SPLITS.index(split)),
            ),
            num_chunks=-(-size // chunk_size),
            transform=transform,
            pre_transform=pre_transform,
            pre_filter=pre_filter,
            workers=workers,
            force_reload=force_reload,
        )


def _generate_chunk(
    number: int,
    size: int,
    chunk_size: int,
    num_objects: int,
    representation: str,
    stream: tuple[int, int],
) -> tuple[Data, Slices]:
    rng = np.random.default_rng([*stream, number])
    num_scenes = min(chunk_size, size - number * chunk_size)
    return generate(num_scenes, num_objects, representation, rng)
