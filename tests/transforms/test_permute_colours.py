from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import SortOfCLEVR
from pyg_relational.transforms import PermuteColours


def asked_rows(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Which object a question names, by its colour."""
    return (u[:, None, :6] * x[None, :, :6]).sum(-1).argmax(1)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> SortOfCLEVR:
    root: Path = tmp_path_factory.mktemp("scenes")
    return SortOfCLEVR(str(root), split="val", num_val=12)


@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_questions_name_the_same_objects(scenes: SortOfCLEVR, batch_size: int) -> None:
    torch.manual_seed(0)
    transform = PermuteColours()
    for batch in DataLoader(scenes, batch_size=batch_size, follow_batch=["u"]):
        renamed = transform(batch)
        moved = 0
        assert torch.equal(renamed.x[:, 6:], batch.x[:, 6:])
        assert torch.equal(renamed.u[:, 6:], batch.u[:, 6:])
        for s in range(batch.num_graphs):
            rows, questions = batch.batch == s, batch.u_batch == s
            before = asked_rows(batch.x[rows], batch.u[questions])
            after = asked_rows(renamed.x[rows], renamed.u[questions])
            assert torch.equal(before, after)
            assert torch.equal(renamed.x[rows, :6].sum(0), torch.ones(6))
            moved += int(not torch.equal(renamed.x[rows], batch.x[rows]))
        assert moved >= batch.num_graphs - 1


def test_scenes_of_a_batch_are_renamed_independently(scenes: SortOfCLEVR) -> None:
    torch.manual_seed(0)
    (batch,) = DataLoader(scenes, batch_size=12, follow_batch=["u"])
    renamed = PermuteColours()(batch).x.view(12, 6, 10)[..., :6]
    assert len({tuple(scene.argmax(1).tolist()) for scene in renamed}) > 6


def test_a_single_scene_and_the_original_untouched(scenes: SortOfCLEVR) -> None:
    torch.manual_seed(0)
    scene = scenes[0]
    before = scene.x.clone()
    renamed = PermuteColours()(scene)
    assert not torch.equal(renamed.x, before)
    assert torch.equal(scene.x, before)
    after = asked_rows(renamed.x, renamed.u)
    assert torch.equal(after, asked_rows(before, scene.u))


def test_bad_input_says_what_to_do(scenes: SortOfCLEVR) -> None:
    with pytest.raises(ValueError, match="use state descriptions"):
        PermuteColours()(Data(u=torch.zeros(1, 12)))
    (batch,) = DataLoader(scenes, batch_size=12)
    with pytest.raises(ValueError, match="follow_batch"):
        PermuteColours()(batch)
