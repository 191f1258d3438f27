"""The moving-shapes dataset.

Every function works on `B` scenes at once. An object plays a role: 0, 1 and 2 are A, B
and C of the question "did A touch B before C?", the others are bystanders. All frames
after the last one of a scene are padding.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational._checks import check_bool, check_int
from pyg_relational.data.temporal import TemporalGraph, frame_distances
from pyg_relational.datasets.base import (
    GeneratedDataset,
    Slices,
    collate_ragged,
)

COLOURS = ("red", "green", "blue", "orange", "grey", "yellow", "purple", "cyan")
SHAPES = ("circle", "square")
ANSWERS = ("no", "yes")
ASKED = 3
MIN_OBJECTS, MAX_OBJECTS = ASKED, len(COLOURS)
# With fewer or more frames, hardly any motions have one touch of each.
MIN_FRAMES, MAX_FRAMES = 6, 64
# The columns of `x` that hold the position.
POSITION = (13, 14)
# Centres stay within [-1, 1]; two objects touch below this distance of their centres.
TOUCH_DISTANCE = 0.3
# Per frame: uniform in between.
MIN_SPEED, MAX_SPEED = 0.2, 0.5
# Motions drawn at once while scenes are missing; sets the memory, and the samples.
BLOCK = 4096

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


class Scenes(NamedTuple):
    """`B` scenes of at most `R` objects and `T` frames.

    Attributes:
        colour: `[B, R]`, index into `COLOURS` of each role.
        shape: `[B, R]`, index into `SHAPES`.
        num_objects: `[B]`; the roles from that number on do not exist.
        num_frames: `[B]`.
        position: `[B, R, T, 2]`, centres, x to the right and y up.
        present: `[B, R, T]`, whether the object is in the frame.
    """

    colour: IntArray
    shape: IntArray
    num_objects: IntArray
    num_frames: IntArray
    position: FloatArray
    present: BoolArray


def sample_motions(
    size: tuple[int, ...], num_frames: int, rng: np.random.Generator
) -> FloatArray:
    """Draws straight motions that bounce off the walls, `[*size, num_frames, 2]`.

    Start, direction and speed are uniform and independent, so a motion played backwards
    is as likely as the motion.
    """
    start = rng.uniform(-1, 1, (*size, 2))
    speed = rng.uniform(MIN_SPEED, MAX_SPEED, (*size, 1))
    angle = rng.uniform(0, 2 * np.pi, size)
    step = speed * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    time = np.arange(num_frames)[:, None]
    path = start[..., None, :] + time * step[..., None, :]
    # Without walls it is a straight line; folding the plane at the walls bends it.
    return 1 - np.abs((path + 1) % 4 - 2)


def sample_scenes(
    answer: IntArray,
    num_objects: IntArray,
    num_frames: IntArray,
    rng: np.random.Generator,
) -> Scenes:
    """Draws scenes with these answers, numbers of objects and numbers of frames."""
    count, longest = len(answer), int(num_frames.max())
    size = (count, len(COLOURS))
    colour = rng.permuted(np.tile(np.arange(len(COLOURS)), (count, 1)), axis=1)
    shape = rng.integers(len(SHAPES), size=size)
    present = sample_presence(num_objects, num_frames, rng)
    position = sample_motions(size, longest, rng)
    asked = sample_touches(num_frames, rng)
    b_first, c_first = touch_frames(asked, num_frames).T
    wrong = (b_first < c_first) != (answer == ANSWERS.index("yes"))
    # Either of the two touches may be asked about first.
    asked[wrong, 1], asked[wrong, 2] = asked[wrong, 2], asked[wrong, 1]
    position[:, :ASKED] = asked
    return Scenes(colour, shape, num_objects, num_frames, position, present)


def sample_presence(
    num_objects: IntArray, num_frames: IntArray, rng: np.random.Generator
) -> BoolArray:
    """Draws the frames that each object is in, `[B, R, T]`.

    A, B and C are there all the time, and so is each bystander with probability 1/2.
    Otherwise it is there from one frame to another, all such pairs being equally
    likely.
    """
    size = (len(num_frames), len(COLOURS))
    frames = num_frames[:, None]
    # Two different of the T + 1 limits of frames.
    one = rng.integers(frames + 1, size=size)
    two = rng.integers(frames, size=size)
    two += two >= one
    always = rng.random(size) < 0.5
    always[:, :ASKED] = True
    first = np.where(always, 0, np.minimum(one, two))
    end = np.where(always, frames, np.maximum(one, two))
    exists = np.arange(len(COLOURS)) < num_objects[:, None]
    time = np.arange(num_frames.max())
    inside = (time >= first[..., None]) & (time < end[..., None])
    return inside & exists[..., None]


def sample_touches(num_frames: IntArray, rng: np.random.Generator) -> FloatArray:
    """Draws motions of A, B and C, `[B, 3, T, 2]`, of which the question has an answer.

    A touches B in one run of frames and C in another one, which do not overlap; so the
    same motions played backwards have the other answer. In half of the scenes the one
    of B and C that is nearer to A in the first frame is the one touched first, and,
    independently, in half of them the one nearer in the last frame is the one touched
    last: neither frame tells the answer.
    """
    longest = int(num_frames.max())
    motions = np.empty((len(num_frames), ASKED, longest, 2))
    # Whether the nearer one is the one that is touched: in the first, the last frame.
    wanted = rng.integers(2, size=(len(num_frames), 2)) == 1
    pending = np.arange(len(num_frames))
    while pending.size:
        tries = max(1, BLOCK // pending.size)
        drawn = sample_motions((pending.size, tries, ASKED), longest, rng)
        frames = np.repeat(num_frames[pending], tries)
        # [pending, tries, 3, T, 2] -> [pending * tries, 3, T, 2]
        flat = drawn.reshape(-1, ASKED, longest, 2)
        fits = has_answer(flat, frames)
        nearer = nearer_is_touched(flat, frames)
        fits &= (nearer == np.repeat(wanted[pending], tries, axis=0)).all(-1)
        fits = fits.reshape(-1, tries)
        found = np.flatnonzero(fits.any(axis=1))
        motions[pending[found]] = drawn[found, fits[found].argmax(axis=1)]
        pending = np.delete(pending, found)
    return motions


def touches(motions: FloatArray, num_frames: IntArray) -> BoolArray:
    """Returns in which frames A touches B, and C, `[B, 2, T]`."""
    inside = np.arange(motions.shape[2]) < num_frames[:, None]
    return (_distances(motions) < TOUCH_DISTANCE) & inside[:, None]


def touch_frames(motions: FloatArray, num_frames: IntArray) -> IntArray:
    """Returns the first frame in which A touches B, and C, `[B, 2]`."""
    return touches(motions, num_frames).argmax(axis=-1)


def has_answer(motions: FloatArray, num_frames: IntArray) -> BoolArray:
    """Returns whether A touches B and C in one run of frames each, apart, `[B]`."""
    touch = touches(motions, num_frames)
    starts = touch[..., 1:] & ~touch[..., :-1]
    runs = touch[..., 0] + starts.sum(axis=-1)
    return (runs == 1).all(axis=-1) & ~touch.all(axis=1).any(axis=-1)


def nearer_is_touched(motions: FloatArray, num_frames: IntArray) -> BoolArray:
    """Returns whether the first frame, and the last, tell what comes first, `[B, 2]`.

    The first one does if the nearer one of B and C is the one that A touches first, the
    last one if the nearer one is the one touched last.
    """
    distances = _distances(motions)
    b_first, c_first = touch_frames(motions, num_frames).T
    sample = np.arange(len(motions))
    first, last = distances[..., 0], distances[sample, :, num_frames - 1]
    before = b_first < c_first
    at_first = (first[:, 0] < first[:, 1]) == before
    at_last = (last[:, 0] > last[:, 1]) == before
    return np.stack([at_first, at_last], axis=-1)


def shuffle_frames(scenes: Scenes, rng: np.random.Generator) -> Scenes:
    """Returns the same frames in random order."""
    count, longest = len(scenes.num_frames), scenes.present.shape[-1]
    key = rng.random((count, longest))
    # Padding stays behind.
    key[np.arange(longest) >= scenes.num_frames[:, None]] = 1
    order = key.argsort(axis=1)[:, None]
    return scenes._replace(
        position=np.take_along_axis(scenes.position, order[..., None], axis=2),
        present=np.take_along_axis(scenes.present, order, axis=2),
    )


def scene_tensors(scenes: Scenes) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns rows and counts of each attribute, as `collate_ragged` takes them.

    Objects are in the order of their colours.
    """
    # [B, 8]: the role of each colour
    role = scenes.colour.argsort(axis=1)
    longest = scenes.present.shape[-1]
    exists = role < scenes.num_objects[:, None]
    inside = np.arange(longest) < scenes.num_frames[:, None]
    b, colour, time = (exists[..., None] & inside[:, None]).nonzero()
    roles = role[b, colour]
    present = scenes.present[b, roles, time]
    features = [
        np.eye(len(COLOURS), dtype=np.float32)[colour],
        np.eye(len(SHAPES), dtype=np.float32)[scenes.shape[b, roles]],
        # Bystanders have no mark.
        np.eye(len(COLOURS), ASKED, dtype=np.float32)[roles],
        scenes.position[b, roles, time].astype(np.float32),
    ]
    # Nothing is known of an object that is not there.
    x = np.concatenate(features, axis=1) * present[:, None]
    asked_colour = scenes.colour[:, :ASKED]
    # Colours are distinct, so the row is how many objects have a smaller one.
    smaller = scenes.colour[:, None, :] < asked_colour[..., None]
    theirs = np.arange(len(COLOURS)) < scenes.num_objects[:, None]
    rows = {
        "x_steps": torch.from_numpy(x),
        "mask_steps": torch.from_numpy(present),
        "num_frames": torch.from_numpy(scenes.num_frames),
        "node_id": torch.from_numpy(exists.nonzero()[1]),
        "u": encode_questions(asked_colour),
        "asked": torch.from_numpy((smaller & theirs[:, None]).sum(-1)),
        "question_objects": torch.from_numpy(scenes.num_objects - ASKED),
    }
    nodes = torch.from_numpy(scenes.num_objects)
    steps = nodes * rows["num_frames"]
    one = torch.ones_like(nodes)
    counts = dict.fromkeys(rows, one)
    counts |= {"x_steps": steps, "mask_steps": steps, "node_id": nodes}
    return rows, counts


def encode_questions(asked: IntArray) -> Tensor:
    """Encodes the colours of A, B and C, `[B, 3]`, as one-hot vectors, `[B, 24]`."""
    codes = np.eye(len(COLOURS), dtype=np.float32)[asked]
    # [B, 3, 8] -> [B, 24]
    return torch.from_numpy(codes.reshape(len(asked), -1))


def _distances(motions: FloatArray) -> FloatArray:
    """From A to B and to C in each frame, `[B, 2, T]`."""
    offset = motions[:, :1] - motions[:, 1:ASKED]
    return np.sqrt((offset**2).sum(axis=-1))


class MovingShapes(GeneratedDataset):
    r"""Moving shapes: did A touch B before C?

    Circles and squares of different colours move straight on and bounce off the walls
    of the square :math:`[-1, 1]^2`; they pass each other without noticing. Two of them
    touch in a frame if their centres are less than `TOUCH_DISTANCE` apart. A, B and C
    are named by their colours, the other objects are bystanders, which touch and are
    touched too and may enter late or leave early. Objects show where they are, not how
    fast they move: the answer needs both the distances within frames and the order of
    frames.

    A touches B in exactly one run of frames and C in exactly one other, so a scene
    played backwards has the other answer, and is as likely. Half of the answers are
    "yes". `space=False` and `time=False` are for ablations in which only chance is
    left: questions, answers and colours stay the same.

    A sample is a :class:`~pyg_relational.data.TemporalGraph`. By default there are
    20,000 for training, and 2,000 each for validation and test.

    Args:
        root (str): Folder of the dataset; files go to `root/processed`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        min_objects (int): Objects of the smallest scenes, from 3. (default: `3`)
        max_objects (int): Objects of the largest scenes, to 8. (default: `8`)
        min_frames (int): Frames of the shortest scenes, from 6. (default: `8`)
        max_frames (int): Frames of the longest scenes, to 64. (default: `16`)
        space (bool): If `False`, objects are where those of independently drawn
            motions are, which say nothing about the answer. (default: `True`)
        time (bool): If `False`, frames are in random order. (default: `True`)
        distance (bool): Joins all objects of a frame by edges with their distance, in
            units of `TOUCH_DISTANCE`, see
            :class:`~pyg_relational.transforms.FrameDistances`. (default: `False`)
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.GeneratedDataset`.

    Shapes:
        - **x:** `[N, T, 15]` colour one-hot (8), shape one-hot (2), whether it is A, B
          or C (3), position (2); zeros where an object is absent. Objects are in the
          order of `COLOURS`
        - **mask:** `[N, T]` whether the object is in the frame
        - **node_id:** `[N]` index of the colour into `COLOURS`
        - **u:** `[1, 24]` one-hot colours of A, B and C, which `x` marks too
        - **y:** `[1]` index into `ANSWERS`
        - **asked:** `[1, 3]` the rows of A, B and C; not shifted by batching
        - **touch_frame:** `[1, 2]` the first frame in which A touches B, and C, of the
          scene before an ablation changed it
        - **question_objects:** `[1]` number of objects - 3: scores are reported for
          each number
    """

    task = "classification"
    kind = "graph"
    sizes = (20000, 2000, 2000)
    data_class = TemporalGraph
    num_answers = len(ANSWERS)
    COLOURS = COLOURS
    SHAPES = SHAPES
    ANSWERS = ANSWERS
    TOUCH_DISTANCE = TOUCH_DISTANCE

    def __init__(
        self,
        root: str,
        split: str = "train",
        min_objects: int = 3,
        max_objects: int = 8,
        min_frames: int = 8,
        max_frames: int = 16,
        space: bool = True,
        time: bool = True,
        distance: bool = False,
        **kwargs: Any,
    ) -> None:
        check_int("min_objects", min_objects, MIN_OBJECTS, MAX_OBJECTS)
        check_int("max_objects", max_objects, min_objects, MAX_OBJECTS)
        check_int("min_frames", min_frames, MIN_FRAMES, MAX_FRAMES)
        check_int("max_frames", max_frames, min_frames, MAX_FRAMES)
        self.objects, self.frames = (min_objects, max_objects), (min_frames, max_frames)
        self.space = check_bool("space", space)
        self.time = check_bool("time", time)
        self.distance = check_bool("distance", distance)
        super().__init__(root, split, **kwargs)

    def _name(self) -> str:
        kept = "-".join(
            name for name in ("space", "time", "distance") if getattr(self, name)
        )
        objects, frames = (
            f"{low}to{high}" for low, high in (self.objects, self.frames)
        )
        return (
            f"{self.split}-{kept or 'neither'}-samples{self.num_samples}"
            f"-objects{objects}-frames{frames}-seed{self.seed}"
        )

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which answers are scored: the number of objects."""
        numbers = range(MIN_OBJECTS, MAX_OBJECTS + 1)
        return {"objects": tuple(str(number) for number in numbers)}

    @staticmethod
    def question_text(u: Tensor) -> str:
        """Returns a question in words.

        Args:
            u (Tensor): A row of `u`, `[24]`.
        """
        # [24] -> [3, 8]
        one, two, three = u.view(ASKED, -1).argmax(dim=1).tolist()
        names = COLOURS
        return f"did {names[one]} touch {names[two]} before {names[three]}?"

    @staticmethod
    def entity_names(data: Data) -> list[str]:
        """Returns the names of the objects of a scene: their colours.

        Args:
            data (TemporalGraph): A scene.
        """
        return [COLOURS[colour] for colour in data.node_id.tolist()]

    @staticmethod
    def marked_frames(data: Data) -> tuple[Tensor, str]:
        """Returns where A first touches B, and C, `[N, T]`, and what these frames are.

        Args:
            data (TemporalGraph): A scene.
        """
        marked = torch.zeros_like(data.mask)
        marked[data.asked[0, :1].unsqueeze(1), data.touch_frame[0]] = True
        marked[data.asked[0, 1:], data.touch_frame[0]] = True
        return marked, "A touches B, or C"

    def generate(self) -> tuple[Data, Slices]:
        rng = self.stream()
        count = self.num_samples
        answer = rng.permutation(np.arange(count) % 2)
        num_objects = rng.integers(*self.objects, count, endpoint=True)
        num_frames = rng.integers(*self.frames, count, endpoint=True)
        scenes = sample_scenes(answer, num_objects, num_frames, rng)
        asked = scenes.position[:, :ASKED]
        touch_frame = touch_frames(asked, num_frames)
        # Streams of their own: what an ablation leaves is as without it.
        if not self.space:
            shape = scenes.position.shape
            other = self.stream(1)
            position = sample_motions(shape[:2], shape[2], other)
            scenes = scenes._replace(position=position)
        if not self.time:
            other = self.stream(2)
            scenes = shuffle_frames(scenes, other)
        rows, counts = scene_tensors(scenes)
        rows |= {
            "y": torch.from_numpy(answer),
            "touch_frame": torch.from_numpy(touch_frame),
        }
        counts |= dict.fromkeys(("y", "touch_frame"), counts["u"])
        if self.distance:
            _add_distances(rows, counts)
        return collate_ragged(rows, counts, data_class=TemporalGraph)


def _add_distances(rows: dict[str, Tensor], counts: dict[str, Tensor]) -> None:
    """Adds the edges of all samples, numbered within each."""
    objects = counts["node_id"]
    sample = torch.arange(objects.numel()).repeat_interleave(objects)
    parts = ("x_steps", "mask_steps", "num_frames", "node_id")
    whole = TemporalGraph(**{name: rows[name] for name in parts}, batch=sample)
    edges, edge_time, edge_attr = frame_distances(whole, POSITION, TOUCH_DISTANCE)
    owner = sample[edges[0]]
    first = objects.cumsum(0) - objects
    rows |= {
        "edge_index": edges - first[owner],
        "edge_time": edge_time,
        "edge_attr": edge_attr,
    }
    number = owner.bincount(minlength=objects.numel())
    counts |= dict.fromkeys(("edge_index", "edge_time", "edge_attr"), number)
