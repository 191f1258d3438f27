import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from pyg_relational.data.temporal import TemporalGraph
from pyg_relational.transforms.frame_differences import FrameDifferences


def graph(nodes, frames, seed, absent=0.3):
    """A graph in which what is absent is not a number."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(nodes, frames, 3, generator=generator)
    mask = torch.rand(nodes, frames, generator=generator) >= absent
    x[~mask] = torch.nan
    return TemporalGraph(x, mask)


def test_literal():
    x = torch.tensor([[[1.0, 5.0], [3.0, 4.0], [7.0, 4.0]]])
    out = FrameDifferences()(TemporalGraph(x))
    expected = [[1.0, 5, 2, -1], [3, 4, 4, 0], [7, 4, 0, 0]]
    assert out.x.tolist() == [expected]
    scaled = FrameDifferences([10.0, 100.0])(TemporalGraph(x))
    expected = [[1.0, 5, 20, -100], [3, 4, 40, 0], [7, 4, 0, 0]]
    assert scaled.x.tolist() == [expected]


@given(
    sizes=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=4
    ),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_differences_of_what_is_there(sizes, seed):
    graphs = [graph(n, t, seed + i) for i, (n, t) in enumerate(sizes)]
    transform = FrameDifferences(2.0)
    batch = transform(Batch.from_data_list(graphs))
    for before, after in zip(graphs, batch.to_data_list(), strict=True):
        assert torch.equal(after.x[..., :3].nan_to_num(), before.x.nan_to_num())
        assert torch.equal(after.mask, before.mask)
        nodes, frames = before.mask.shape
        for n in range(nodes):
            for t in range(frames):
                expected = torch.zeros(3)
                if t + 1 < frames and before.mask[n, t] and before.mask[n, t + 1]:
                    expected = 2 * (before.x[n, t + 1] - before.x[n, t])
                torch.testing.assert_close(after.x[n, t, 3:], expected)
        alone = transform(before)
        torch.testing.assert_close(alone.x, after.x, equal_nan=True)
        assert before.x.shape == (nodes, frames, 3)


def test_repr():
    assert str(FrameDifferences([1.0, 20.0])) == "FrameDifferences(scale=[1.0, 20.0])"


@pytest.mark.parametrize("data", [Data(x=torch.zeros(2, 3)), TemporalGraph()])
def test_data_without_frames_is_refused(data):
    with pytest.raises(ValueError, match="'x' of a TemporalGraph must be there"):
        FrameDifferences()(data)


def test_another_number_of_factors_is_refused():
    with pytest.raises(ValueError, match=r"each of 3 features \(got 2\)"):
        FrameDifferences([1.0, 2.0])(graph(2, 3, 0))
