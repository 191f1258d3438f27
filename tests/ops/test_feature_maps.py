import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_relational.ops import map_to_objects

side = st.integers(1, 5)


@given(st.integers(0, 3), st.integers(0, 3), side, side)
def test_objects_are_cells_with_their_place(count, channels, height, width):
    features = torch.rand(count, channels, height, width, dtype=torch.float64)
    x, batch = map_to_objects(features)
    assert x.shape == (count * height * width, channels + 2)
    assert x.dtype == torch.float64
    for b in range(count):
        for row in range(height):
            for column in range(width):
                number = (b * height + row) * width + column
                assert batch[number] == b
                place = [
                    -1.0 if last == 0 else 2 * at / last - 1
                    for at, last in ((row, height - 1), (column, width - 1))
                ]
                expected = [*features[b, :, row, column].tolist(), *place]
                assert x[number].tolist() == pytest.approx(expected, abs=1e-6)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"'features' must have shape \[B, C, h, w\]"):
        map_to_objects(torch.zeros(3, 4, 4))
