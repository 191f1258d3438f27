import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from pyg_relational.datasets.digit_relations import digit_from_image, digit_pixels

# A seven, as high as the cells.
SEVEN = torch.tensor(
    [
        [0, 1, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0, 0],
    ]
)


def picture(ink, paper, scale, margins):
    """The seven in a picture, `[3, H, W]`."""
    left, right, top, bottom = margins
    digit = SEVEN.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    digit = functional.pad(digit, (left, right, top, bottom))
    grey = torch.where(digit == 1, ink, paper).to(torch.uint8)
    return grey.expand(3, -1, -1)


margins = st.tuples(*[st.integers(1, 40)] * 4)


@given(st.booleans(), st.sampled_from([4, 8, 12]), margins)
def test_place_size_and_colours_of_the_digit_do_not_count(dark, scale, margins):
    ink, paper = (30, 220) if dark else (250, 90)
    seen = digit_from_image(picture(ink, paper, scale, margins))
    assert seen.dtype == torch.uint8
    assert torch.equal(seen, (SEVEN * 16).to(torch.uint8))


def test_wide_ink_keeps_its_shape():
    image = torch.full((3, 20, 60), 255, dtype=torch.uint8)
    image[:, 8:12, 10:50] = 0
    seen = digit_from_image(image)
    assert seen.sum(dim=1).nonzero().flatten().tolist() == [3, 4]
    assert (seen.sum(dim=0) > 0).all()


def test_colour_counts_as_brightness():
    image = picture(0, 255, 4, (4, 4, 4, 4)).clone()
    image[2] = 255
    assert torch.equal(digit_from_image(image), (SEVEN * 16).to(torch.uint8))


@pytest.mark.parametrize("ink", [255, 230, 210])
def test_blank_paper_is_named(ink):
    image = picture(ink, 255, 4, (4, 4, 4, 4))
    with pytest.raises(ValueError, match=r"'a\.png' shows no digit: .* of 255"):
        digit_from_image(image, "a.png")


def test_counts_become_bytes():
    counts = torch.tensor([[[0, 8], [16, 1]]], dtype=torch.uint8)
    assert digit_pixels(counts).tolist() == [[[[0, 128], [255, 16]]]]
    assert digit_pixels(counts.numpy()).dtype == torch.uint8
