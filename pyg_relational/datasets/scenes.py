"""Scenes that were converted from files, read shard by shard."""

import json
from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path
from typing import Any

from torch_geometric.data import Data, Dataset
from torch_geometric.data.separate import separate

from pyg_relational._checks import check_name
from pyg_relational._files import read_verified
from pyg_relational.data.scenes.encoder import SceneEncoder
from pyg_relational.datasets.base import SPLITS, Transform

KEPT = 4  # shards in memory at once


class SceneDataset(Dataset):
    r"""Scenes that `pyg-relational convert` has written to disk.

    Only a few shards are in memory at once, so orders that stay within a shard for a
    while are quick, and a random one over many shards is not.

    Args:
        root (str or Path): The folder.
        split (str, optional): `"train"`, `"val"` or `"test"`, as the conversion drew
            them by shares and seed; all scenes by default. (default: `None`)
        transform (Callable, optional): Applied to a sample when it is read.
            (default: `None`)

    Raises:
        ValueError: The folder holds no finished conversion, the split is unknown, or a
            shard is broken.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        transform: Transform | None = None,
    ) -> None:
        folder = Path(root)
        if split is not None:
            check_name("split", split, SPLITS)
        if not (folder / "report.json").is_file():
            raise ValueError(
                f"'{folder}' holds no finished conversion; run `pyg-relational convert "
                f"INPUT {folder}`, again if it was interrupted"
            )
        self.encoder = SceneEncoder.load(folder / "schema.json")
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        self.split = split
        self._folder = folder
        self._files: list[str] = []
        self._ends: list[int] = []
        total = 0
        for shard in report["shards"]:
            wanted = [split] if split else SPLITS
            number = sum(shard["splits"].get(name, 0) for name in wanted)
            if number:
                total += number
                self._files.append(shard["file"])
                self._ends.append(total)
        self._shards: OrderedDict[str, tuple[Data, Any, list[int]]] = OrderedDict()
        super().__init__(None, transform)

    def len(self) -> int:
        r"""Returns the number of scenes."""
        return self._ends[-1] if self._ends else 0

    def get(self, idx: int) -> Data:
        r"""Returns a scene.

        Args:
            idx (int): Its number in the split.
        """
        place = bisect_right(self._ends, idx)
        start = self._ends[place - 1] if place else 0
        data, slices, chosen = self._shard(self._files[place])
        return separate(
            cls=Data,
            batch=data,
            idx=chosen[idx - start],
            slice_dict=slices,
            decrement=False,
        )

    def _shard(self, name: str) -> tuple[Data, Any, list[int]]:
        if name not in self._shards:
            content = read_verified(self._folder / name)
            if content is None:
                raise ValueError(
                    f"'{self._folder / name}' is missing or broken; run the conversion "
                    f"again, it makes what is missing"
                )
            wanted = [SPLITS.index(self.split)] if self.split else range(len(SPLITS))
            chosen = [n for n, split in enumerate(content["splits"]) if split in wanted]
            data = Data.from_dict(content["data"])
            self._shards[name] = (data, content["slices"], chosen)
        self._shards.move_to_end(name)
        while len(self._shards) > KEPT:
            self._shards.popitem(last=False)
        return self._shards[name]
