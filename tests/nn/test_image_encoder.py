from importlib.util import find_spec

import pytest
import torch
from torch import nn

from pyg_relational.nn import ImageEncoder


def tiny():
    """A network with statistics of batches."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())


def test_features_are_averages_over_the_grid():
    encoder = ImageEncoder(tiny(), size=8, grid=2).eval()
    assert encoder.out_channels == 16
    assert str(encoder) == "ImageEncoder(Sequential, 16, frozen=True)"
    image = torch.rand(3, 3, 8, 8)
    out = encoder(image)
    maps = encoder.network(image)
    for b in range(3):
        cells = [
            maps[b, channel, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].mean()
            for channel in range(4)
            for row in range(2)
            for column in range(2)
        ]
        torch.testing.assert_close(out[b], torch.stack(cells))


def test_bytes_grey_images_and_other_sizes_are_taken():
    encoder = ImageEncoder(tiny(), size=8, grid=2).eval()
    image = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    out = encoder(image)
    torch.testing.assert_close(out, encoder(image.float().expand(-1, 3, -1, -1) / 255))
    large = image.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert encoder(large).shape == out.shape
    assert not torch.equal(encoder(large.flip(3)), out)


def train_once(encoder):
    encoder.train()
    x = torch.rand(4, 3, 8, 8)
    head = nn.Linear(encoder.out_channels, 1)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD([p for p in parameters if p.requires_grad], lr=0.1)
    head(encoder(x)).square().mean().backward()
    optimizer.step()


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_a_frozen_network_does_not_move():
    encoder = ImageEncoder(tiny(), size=8, grid=2)
    before = state(encoder)
    train_once(encoder)
    assert encoder.training
    assert not encoder.network.training
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not encoder(torch.rand(1, 3, 8, 8)).requires_grad


def test_a_fine_tuned_network_moves_with_its_statistics():
    encoder = ImageEncoder(tiny(), size=8, grid=2, frozen=False)
    before = state(encoder)
    # Finding out the width left no trace.
    assert torch.equal(before["network.1.running_mean"], torch.zeros(4))
    train_once(encoder)
    moved = [
        n for n, v in encoder.state_dict().items() if not torch.equal(v, before[n])
    ]
    assert set(moved) == set(before)
    # In evaluation there are no statistics of batches.
    encoder.eval()
    image = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(encoder(image)[:1], encoder(image[:1]))


def test_networks_that_give_rows_are_taken():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 7))
    encoder = ImageEncoder(network, size=8)
    assert encoder.out_channels == 7
    image = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(encoder(image), network(image).detach())


@pytest.mark.skipif(
    find_spec("efficientnet_lite_pytorch") is None, reason="needs the extra vision"
)
@pytest.mark.parametrize("frozen", [True, False])
def test_the_default_network(frozen):
    encoder = ImageEncoder(frozen=frozen)
    assert encoder.out_channels == 960
    out = encoder(torch.rand(2, 1, 8, 8))
    assert out.requires_grad is not frozen
    if not frozen:
        out.sum().backward()
        assert all(p.grad.abs().max() > 0 for p in encoder.parameters())


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="'size' and 'grid' must be at least 1"):
        ImageEncoder(tiny(), size=0)
    encoder = ImageEncoder(tiny(), size=8)
    with pytest.raises(
        ValueError, match=r"'image' must have shape \[B, 1 or 3, H, W\]"
    ):
        encoder(torch.zeros(1, 4, 8, 8))
