import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_relational.train.references import pair_correlations


@given(
    seed=st.integers(0, 2**31),
    nodes=st.integers(1, 4),
    frames=st.integers(0, 6),
    features=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_equals_numpy_on_the_shared_frames(seed, nodes, frames, features):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(nodes, frames, features, generator=generator) + 5
    mask = torch.rand(nodes, frames, generator=generator) < 0.8
    x[~mask] = torch.nan
    pairs = torch.cartesian_prod(*[torch.arange(nodes)] * 2).view(-1, 2).T
    out = pair_correlations(x, mask, pairs)
    assert out.shape == (pairs.size(1), features)
    for row, (i, j) in zip(out, pairs.T.tolist(), strict=True):
        both = mask[i] & mask[j]
        for f in range(features):
            expected = 0.0
            if both.sum() > 1:
                a, b = x[i, both, f].double(), x[j, both, f].double()
                expected = np.corrcoef(a, b)[0, 1]
            assert row[f].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-6, 1e6])
def test_what_does_not_change_correlates_with_nothing(value):
    pairs = torch.tensor([[0, 1, 1], [1, 0, 1]])
    # In rounding, the mean of three times 0.1 is not 0.1.
    for frames in range(1, 12):
        x = torch.full((2, frames, 1), value, dtype=torch.double)
        x[0, :, 0] = torch.arange(frames)
        mask = torch.ones(2, frames, dtype=torch.bool)
        assert pair_correlations(x, mask, pairs).tolist() == [[0.0]] * 3
