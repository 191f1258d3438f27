from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.datasets.checks import check_int
from pyg_relational.datasets.on_disk import ChunkedOnDiskDataset
from pyg_relational.datasets.on_disk_file import Graphs
from pyg_relational.datasets.sort_of_clevr_task import (
    SPLITS,
    SortOfCLEVRTask,
    generate,
)
from pyg_relational.datasets.stored import changed_name, keep_and_change


class SortOfCLEVROnDisk(SortOfCLEVRTask, ChunkedOnDiskDataset):
    r"""Sort-of-CLEVR with as many scenes as fit on the disk.

    Scenes are as in :class:`~pyg_relational.datasets.SortOfCLEVR`, with other random
    numbers: each chunk has its own random stream. They are generated on the first use,
    by several processes where asked for, and read when they are needed.

    Args:
        root (str): Folder of the dataset; files go to `root/processed`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        representation (str): `"state"` (rows of attributes) or `"pixels"`.
            (default: `"state"`)
        num_train (int): Scenes in the training split. (default: `9800`)
        num_val (int): Scenes in the validation split. (default: `200`)
        num_test (int): Scenes in the test split. (default: `200`)
        num_objects (int): Objects a scene, 2 to 6, of the first colours in
            `COLOURS`. (default: `6`)
        seed (int): Seed of all random streams, not negative. (default: `0`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the scenes for which it is true; its
            `repr` is part of the file name. (default: `None`)
        force_reload (bool): Generate again. (default: `False`)
        chunk_size (int): Scenes of a random stream, which are stored at once; part of
            the file name. (default: `10_000`)
        workers (int): Processes that generate. (default: `1`)

    Shapes:
        - those of :class:`~pyg_relational.datasets.SortOfCLEVR`

    Raises:
        OSError: The scenes have to be generated and `root` cannot be written.
        TypeError: A size or the seed is not an integer.
        ValueError: A name is unknown, a size or the seed is out of range, no scene is
            kept, or the file is damaged.
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
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
        chunk_size: int = 10_000,
        workers: int = 1,
    ) -> None:
        sizes = {"num_train": num_train, "num_val": num_val, "num_test": num_test}
        self._choose(split, representation, sizes, num_objects, seed)
        self.chunk_size = check_int("chunk_size", chunk_size, 1)
        name = f"{self._file_name()}-chunks{chunk_size}"
        chunk = _Chunk(
            (seed, SPLITS.index(split)),
            (self.num_scenes, chunk_size, num_objects),
            representation,
            pre_filter,
            pre_transform,
        )
        super().__init__(
            root,
            f"{changed_name(name, pre_transform, pre_filter)}.db",
            chunk,
            num_chunks=-(-self.num_scenes // chunk_size),
            transform=transform,
            workers=workers,
            force_reload=force_reload,
        )


@dataclass(frozen=True)
class _Chunk:
    """Generates the scenes of a chunk."""

    seed: tuple[int, int]
    sizes: tuple[int, int, int]
    representation: str
    pre_filter: Callable[[Data], bool] | None
    pre_transform: Callable[[Data], Data] | None

    def __call__(self, number: int) -> Graphs | None:
        scenes, chunk_size, objects = self.sizes
        size = min(chunk_size, scenes - number * chunk_size)
        rng = np.random.default_rng([*self.seed, number])
        data, slices = generate(size, objects, self.representation, rng)
        if self.pre_filter is None and self.pre_transform is None:
            return data, slices
        collated = InMemoryDataset()
        collated._data, collated.slices = data, slices
        return keep_and_change(collated, self.pre_filter, self.pre_transform)
