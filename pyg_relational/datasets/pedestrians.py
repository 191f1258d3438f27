"""Where pedestrians go next."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.datasets.checks import check_int
from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.packaged import read_text
from pyg_relational.datasets.pedestrians_scenes import (
    TIMES,
    read_scene,
    scene_samples,
)
from pyg_relational.datasets.raw_files import fetch_raw, raw_folder
from pyg_relational.datasets.stored import load_stored, stored_content, stored_name

SPLITS = ("train", "val", "test")
# Part of every file name: raise it whenever the stored content changes.
FORMAT_VERSION = 1
FOLDER = "eth_ucy"
SCENES = ("eth", "hotel", "zara01")
STEMS = {"eth": "biwi_eth", "hotel": "biwi_hotel", "zara01": "crowds_zara01"}
ENDINGS = (".txt.gz", ".txt")
URL = "https://raw.githubusercontent.com/abduallahmohamed/Social-STGCNN/master/datasets"
FOLDERS = {"eth": "eth", "hotel": "hotel", "zara01": "zara1"}
# Of the uncompressed files.
SHA256 = {
    "eth": "cf8d3fd342a15f409ebc2a1fc76b91a0f06390bd21f1e11410f3859331ab082b",
    "hotel": "9caa771bb9153d6b809dd0916b6f86761b641e6bbb15e766c1de3133fbbb7fcf",
    "zara01": "1147a1962a09abfb86f28c6cddcac862e095a0cf129b3016385b69eacdd09d85",
}
# Where the validation windows of a scene start, as a share of its frames.
TRAIN_SHARE = 0.8


class Pedestrians(InMemoryDataset):
    r"""The next steps of pedestrians who come and go, in scenes of `"You'll never walk
    alone" <https://doi.org/10.1109/ICCV.2009.5459260>`_ (ETH) and `"Crowds by example"
    <https://doi.org/10.1111/j.1467-8659.2007.01089.x>`_ (UCY).

    A sample is a window of `history` + `horizon` frames; windows slide by one frame.
    Its nodes are the people in the last observed frame, also those who come late or
    leave early; people who have left before are not in it. As is usual, only people who
    are in all frames of the window are learnt and scored (`y_mask`), so that the others
    are context; a window without any of them is no sample.

    The test split is a whole scene. Of each other scene, windows in the first 80 % of
    its frames are for training and windows in the rest for validation; no window
    crosses the border.

    Args:
        root (str): Folder of the dataset; files go to `root/raw` and
            `root/processed`. Files in the folder `eth_ucy` of the one that the
            environment variable `PYG_RELATIONAL_DATA` names are read there.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        test_scene (str): `"eth"`, `"hotel"` or `"zara01"`. (default: `"hotel"`)
        history (int): Observed frames, at least 2. (default: `8`)
        horizon (int): Frames to forecast. (default: `12`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the samples for which it is true; its
            `repr` is part of the file name. (default: `None`)
        force_reload (bool): Make the stored file again. (default: `False`)

    Shapes:
        - **x:** `[N, history, 4]` position in metres from `centre`, and its change
          since the frame before; that to the next frame where the person was not seen
          before, 0 where neither is known
        - **mask:** `[N, history]` whether the person is seen
        - **node_id:** `[N]` number of the person in the file
        - **y:** `[N, horizon, 2]` positions in metres from `centre`, 0 where absent
        - **y_mask:** `[N, horizon]` whether the person is in all frames
        - **question_time:** `[N, horizon]` index into the groups of frames
        - **centre:** `[1, 2]` mean position in the last observed frame
        - **frame:** `[1]` number of the last observed frame in the file
        - **scene:** `[1]` index into `SCENES`

    Raises:
        OSError: A file has to be fetched and cannot be, or `root` cannot be written.
        TypeError: `history` or `horizon` is not an integer.
        ValueError: A name is unknown, a number is out of range, no window fits, or a
            line of a file is wrong; file and line are named.
    """

    task = "trajectory"
    UNIT = "m"
    kind = "node"
    data_class = TemporalGraph
    SCENES = SCENES

    def __init__(
        self,
        root: str,
        split: str = "train",
        test_scene: str = "hotel",
        history: int = 8,
        horizon: int = 12,
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        self.split = check_name("split", split, SPLITS)
        self.test_scene = check_name("test_scene", test_scene, SCENES)
        # One frame has no velocity.
        self.history = check_int("history", history, 2)
        self.horizon = check_int("horizon", horizon, 1)
        super().__init__(str(root), transform, pre_transform, pre_filter)
        load_stored(self, self._generate, force_reload=force_reload)

    @property
    def raw_file_names(self) -> list[str]:
        return [f"{stem}.txt" for stem in STEMS.values()]

    @property
    def raw_paths(self) -> list[str]:
        return [str(self._path(scene)) for scene in SCENES]

    @property
    def processed_file_names(self) -> str:
        name = (
            f"{self.split}-{self.test_scene}-history{self.history}"
            f"-horizon{self.horizon}-v{FORMAT_VERSION}"
        )
        return stored_name(self, name)

    @property
    def has_download(self) -> bool:
        # PyG would fetch the files even where the samples are stored.
        return False

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which displacements are scored, with their names."""
        return {"time": TIMES}

    def download(self) -> None:
        """Fetches the files that are missing."""
        for scene in SCENES:
            path = self._path(scene)
            if not path.is_file():
                url = f"{URL}/{FOLDERS[scene]}/test/{path.name}"
                fetch_raw(url, path, SHA256[scene])

    def constant_velocity(self, data: Data) -> Tensor:
        """Returns where people are who go on as they last did, `[N, horizon, 2]`.

        Args:
            data (Data): A sample or a batch of this dataset.
        """
        place, velocity = data.x[:, -1].unsqueeze(1).split(2, dim=2)
        step = torch.arange(1, self.horizon + 1, device=place.device)
        return place + step.view(-1, 1) * velocity

    def _path(self, scene: str) -> Path:
        """The file that is there, else the one that can be fetched."""
        names = [STEMS[scene] + ending for ending in ENDINGS]
        paths = [Path(raw_folder(self.root, name, FOLDER), name) for name in names]
        return next((path for path in paths if path.is_file()), paths[-1])

    def _generate(self) -> dict[str, Any]:
        self._download()
        samples = [
            sample
            for name in SCENES
            if (name == self.test_scene) == (self.split == "test")
            for sample in self._windows(name)
        ]
        if not samples:
            raise ValueError(
                f"Expected a window of {self.history} + {self.horizon} frames with a "
                f"person in all of them in the {self.split} split, got none; choose a "
                "smaller `history` or `horizon`."
            )
        return stored_content(self, *self.collate(samples))

    def _windows(self, name: str) -> list[TemporalGraph]:
        """The samples of the split that are in a scene."""
        path = self._path(name)
        scene = read_scene(read_text(path), path.name)
        end = int(scene.num_frames)
        border = int(TRAIN_SHARE * end)
        parts = {"train": (0, border), "val": (border, end), "test": (0, end)}
        samples = scene_samples(scene, *parts[self.split], self.history, self.horizon)
        for sample in samples:
            sample.scene = torch.tensor([SCENES.index(name)])
        return samples
