"""Distances as edges of each frame."""

import pytest
import torch
from torch_geometric.data import Batch

from pyg_relational.data import TemporalGraph
from pyg_relational.datasets import MovingShapes
from pyg_relational.transforms import FrameDistances


def graph(n: int, t: int, seed: int) -> TemporalGraph:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(n, t, generator=generator) < 0.7
    return TemporalGraph(torch.randn(n, t, 3, generator=generator), mask)


def edges(data: TemporalGraph) -> dict[tuple[int, int, int], float]:
    """The distance of each (source, target, frame)."""
    keys = zip(*data.edge_index.tolist(), data.edge_time.tolist(), strict=True)
    return dict(zip(keys, data.edge_attr.flatten().tolist(), strict=True))


def loop(data: TemporalGraph, scale: float) -> dict[tuple[int, int, int], float]:
    x, mask, found = data.x, data.mask, {}
    for t in range(x.size(1)):
        for i in range(x.size(0)):
            for j in range(x.size(0)):
                if i != j and mask[i, t] and mask[j, t]:
                    apart = (x[i, t, 1:] - x[j, t, 1:]).square().sum().sqrt()
                    found[j, i, t] = float(apart) / scale
    return found


@pytest.mark.parametrize(("n", "t"), [(4, 5), (1, 3), (0, 2), (3, 1)])
def test_all_pairs_of_a_frame_are_joined_with_their_distance(n: int, t: int) -> None:
    data = graph(n, t, seed=n)
    assert edges(FrameDistances([1, 2], 0.5)(data)) == pytest.approx(loop(data, 0.5))


def test_a_batch_gives_the_edges_of_its_graphs() -> None:
    graphs = [graph(n, t, seed) for seed, (n, t) in enumerate([(3, 4), (1, 6), (4, 2)])]
    whole = FrameDistances([1, 2])(Batch.from_data_list(graphs))
    expected = {
        (j + start, i + start, t): value
        for data, start in zip(graphs, (0, 3, 4), strict=True)
        for (j, i, t), value in loop(data, 1.0).items()
    }
    assert edges(whole) == pytest.approx(expected)


def test_the_edges_of_a_dataset_are_those_of_each_of_its_samples(tmp_path) -> None:
    sizes = {"num_train": 6, "num_val": 1, "num_test": 1}
    plain = MovingShapes(tmp_path, **sizes)
    joined = MovingShapes(tmp_path, distance=True, **sizes)
    add = FrameDistances([13, 14], MovingShapes.TOUCH_DISTANCE)
    for bare, data in zip(plain, joined, strict=True):
        assert edges(data) == pytest.approx(edges(add(bare)))
        assert torch.equal(data.x, bare.x)
        one, two, three = data.asked[0].tolist()
        near = [key for key, apart in edges(data).items() if apart < 1]
        first = [min(t for j, i, t in near if (j, i) == (one, k)) for k in (two, three)]
        assert first == data.touch_frame[0].tolist()


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="'scale' must be positive"):
        FrameDistances([0], 0.0)
    data = FrameDistances([1, 2])(graph(3, 2, 0))
    with pytest.raises(ValueError, match="'data' must have no edges yet"):
        FrameDistances([1, 2])(data)
