"""Moving shapes: motions, scenes whose answer is known, and their tensors.

Every function works on `B` scenes at once. An object plays a role: 0, 1 and 2 are A, B
and C of the question "did A touch B before C?", the others are bystanders. All frames
after the last one of a scene are padding.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

COLOURS = ("red", "green", "blue", "orange", "grey", "yellow", "purple", "cyan")
SHAPES = ("circle", "square")
ANSWERS = ("no", "yes")
ASKED = 3
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
    """Draws scenes with these answers, numbers of objects and numbers of frames.

    Args:
        answer (ndarray): `[B]`, index into `ANSWERS`.
        num_objects (ndarray): `[B]`, from 3 to the number of colours.
        num_frames (ndarray): `[B]`.
        rng (numpy.random.Generator): The random stream.
    """
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
