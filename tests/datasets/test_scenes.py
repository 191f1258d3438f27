from pathlib import Path

import networkx as nx
import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.data.convert import Conversion, convert
from pyg_relational.data.scenes.files import pieces, read_piece
from pyg_relational.datasets import SceneDataset, scenes

SAMPLE = Path(__file__).parents[2] / "datasets" / "scenes" / "rooms.jsonl"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    options = {"targets": ["graph.tidy"], "edge_type": "relation"}
    convert(SAMPLE, tmp_path / "rooms", Conversion(options, shard_size=2))
    return tmp_path / "rooms"


def test_the_sample_set_comes_back_equal(root: Path) -> None:
    dataset = SceneDataset(root)
    assert len(dataset) == 6
    found = [row for p in pieces(SAMPLE) for row in read_piece(p, SAMPLE.parent)]
    for data, (_, scene, _) in zip(dataset, found, strict=True):
        assert nx.utils.graphs_equal(dataset.encoder.inverse_transform(data), scene)
    assert torch.cat([data.y for data in dataset]).tolist() == [1, 1, 0, 0, 1, 1]
    (batch,) = DataLoader(dataset, batch_size=6)
    assert batch.x.size(0) == 19
    assert batch.edge_index.max() == 17


def test_few_shards_are_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "KEPT", 1)
    dataset = SceneDataset(root)
    forth, back = [dataset[n] for n in range(6)], [dataset[n] for n in range(5, -1, -1)]
    for one, two in zip(forth, back[::-1], strict=True):
        assert torch.equal(one.x, two.x)
    assert len(dataset._shards) == 1


def test_transform_and_subset(root: Path) -> None:
    dataset = SceneDataset(root, transform=lambda data: data.num_nodes)
    assert [*dataset[[1, 3]]] == [3, 3]


def test_a_folder_without_a_conversion(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run `pyg-relational convert INPUT"):
        SceneDataset(tmp_path)
