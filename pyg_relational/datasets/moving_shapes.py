"""The moving-shapes dataset."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.datasets import moving_shapes_generator as generator
from pyg_relational.datasets.checks import check_int
from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.stored import (
    collate_ragged,
    load_stored,
    stored_content,
    stored_name,
)

SPLITS = ("train", "val", "test")
MIN_OBJECTS, MAX_OBJECTS = generator.ASKED, len(generator.COLOURS)
# With fewer or more frames, hardly any motions have one touch of each.
MIN_FRAMES, MAX_FRAMES = 6, 64
# The columns of `x` that hold the position.
POSITION = (13, 14)
# Part of every file name: raise it whenever the generated content changes.
FORMAT_VERSION = 1


class MovingShapes(InMemoryDataset):
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

    A sample is a :class:`~pyg_relational.data.TemporalGraph`. It is generated on the
    first use, from the seed alone. Each split has its own random stream, which depends
    on the seed, its own size and the numbers of objects and frames.

    Args:
        root (str): Folder of the dataset; files go to `root/processed`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        num_train (int): Samples in the training split. (default: `20000`)
        num_val (int): Samples in the validation split. (default: `2000`)
        num_test (int): Samples in the test split. (default: `2000`)
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
        seed (int): Seed of all random streams, not negative. (default: `0`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the samples for which it is true; its
            `repr` is part of the file name. (default: `None`)
        force_reload (bool): Generate again. (default: `False`)

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

    Raises:
        OSError: The samples have to be generated and `root` cannot be written.
        TypeError: A size or the seed is not an integer, `space`, `time` or
            `distance` is not a bool.
        ValueError: The split is unknown, or a size or the seed is out of range.
    """

    task = "classification"
    kind = "graph"
    data_class = TemporalGraph
    num_answers = len(generator.ANSWERS)
    COLOURS = generator.COLOURS
    SHAPES = generator.SHAPES
    ANSWERS = generator.ANSWERS
    TOUCH_DISTANCE = generator.TOUCH_DISTANCE

    def __init__(
        self,
        root: str,
        split: str = "train",
        num_train: int = 20000,
        num_val: int = 2000,
        num_test: int = 2000,
        min_objects: int = 3,
        max_objects: int = 8,
        min_frames: int = 8,
        max_frames: int = 16,
        space: bool = True,
        time: bool = True,
        distance: bool = False,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        sizes = {"num_train": num_train, "num_val": num_val, "num_test": num_test}
        for argument, size in sizes.items():
            check_int(argument, size, 1)
        flags = {"space": space, "time": time, "distance": distance}
        for argument, value in flags.items():
            if not isinstance(value, bool):
                raise TypeError(f"Expected `{argument}` to be a bool, got {value!r}.")
        self.split = check_name("split", split, SPLITS)
        self.num_samples = sizes[f"num_{split}"]
        check_int("min_objects", min_objects, MIN_OBJECTS, MAX_OBJECTS)
        check_int("max_objects", max_objects, min_objects, MAX_OBJECTS)
        check_int("min_frames", min_frames, MIN_FRAMES, MAX_FRAMES)
        check_int("max_frames", max_frames, min_frames, MAX_FRAMES)
        self.objects, self.frames = (min_objects, max_objects), (min_frames, max_frames)
        self.space, self.time = space, time
        self.seed = check_int("seed", seed, 0)
        self.distance = distance
        super().__init__(str(root), transform, pre_transform, pre_filter)
        load_stored(self, self._generate, force_reload=force_reload)

    @property
    def processed_file_names(self) -> str:
        kept = "-".join(
            name for name in ("space", "time", "distance") if getattr(self, name)
        )
        objects, frames = (
            f"{low}to{high}" for low, high in (self.objects, self.frames)
        )
        name = (
            f"{self.split}-{kept or 'neither'}-samples{self.num_samples}"
            f"-objects{objects}-frames{frames}-seed{self.seed}-v{FORMAT_VERSION}"
        )
        return stored_name(self, name)

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
        one, two, three = u.view(generator.ASKED, -1).argmax(dim=1).tolist()
        names = generator.COLOURS
        return f"did {names[one]} touch {names[two]} before {names[three]}?"

    @staticmethod
    def entity_names(data: Data) -> list[str]:
        """Returns the names of the objects of a scene: their colours.

        Args:
            data (TemporalGraph): A scene.
        """
        return [generator.COLOURS[colour] for colour in data.node_id.tolist()]

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

    def _generate(self) -> dict[str, Any]:
        stream = [self.seed, SPLITS.index(self.split)]
        rng = np.random.default_rng(stream)
        count = self.num_samples
        answer = rng.permutation(np.arange(count) % 2)
        num_objects = rng.integers(*self.objects, count, endpoint=True)
        num_frames = rng.integers(*self.frames, count, endpoint=True)
        scenes = generator.sample_scenes(answer, num_objects, num_frames, rng)
        asked = scenes.position[:, : generator.ASKED]
        touch_frame = generator.touch_frames(asked, num_frames)
        # Streams of their own: what an ablation leaves is as without it.
        if not self.space:
            shape = scenes.position.shape
            other = np.random.default_rng([*stream, 1])
            position = generator.sample_motions(shape[:2], shape[2], other)
            scenes = scenes._replace(position=position)
        if not self.time:
            other = np.random.default_rng([*stream, 2])
            scenes = generator.shuffle_frames(scenes, other)
        rows, counts = generator.scene_tensors(scenes)
        rows |= {
            "y": torch.from_numpy(answer),
            "touch_frame": torch.from_numpy(touch_frame),
        }
        counts |= dict.fromkeys(("y", "touch_frame"), counts["u"])
        if self.distance:
            _add_distances(rows, counts)
        return stored_content(self, *collate_ragged(rows, counts, None, TemporalGraph))


def _add_distances(rows: dict[str, Tensor], counts: dict[str, Tensor]) -> None:
    """Adds the edges of all samples, numbered within each."""
    # Transforms of other datasets import datasets.
    from pyg_relational.transforms import FrameDistances

    objects = counts["node_id"]
    sample = torch.arange(objects.numel()).repeat_interleave(objects)
    parts = ("x_steps", "mask_steps", "num_frames", "node_id")
    whole = TemporalGraph(**{name: rows[name] for name in parts}, batch=sample)
    whole = FrameDistances(POSITION, generator.TOUCH_DISTANCE)(whole)
    edges = sample[whole.edge_index[0]].bincount(minlength=objects.numel())
    first = objects.cumsum(0) - objects
    rows["edge_index"] = whole.edge_index - first[sample[whole.edge_index[0]]]
    rows |= {"edge_time": whole.edge_time, "edge_attr": whole.edge_attr}
    counts |= dict.fromkeys(("edge_index", "edge_time", "edge_attr"), edges)
