from importlib.util import find_spec

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

from pyg_relational.encoders.images import EfficientNetLite0
from pyg_relational.models import PixelRelationNetwork
from pyg_relational.transforms import ImageToObjects


def test_it_does_what_the_pixel_network_does_within():
    torch.manual_seed(0)
    model = PixelRelationNetwork(3, 3, [4, 5], [6], [6]).eval()
    convolutions = model.encoder.layers
    transform = ImageToObjects(convolutions.train())
    assert str(transform) == "ImageToObjects(Sequential)"
    images = torch.rand(3, 3, 12, 8)
    samples = [
        transform(Data(image=image[None], num_nodes=2, y=torch.zeros(1)))
        for image in images
    ]
    batch = Batch.from_data_list(samples)
    assert "image" not in batch
    assert samples[0].num_nodes == 3 * 2
    x, number = model.encoder(images)
    torch.testing.assert_close(batch.x, x)
    assert torch.equal(batch.batch, number)
    torch.testing.assert_close(
        model.network(batch.x, batch=batch.batch, batch_size=3), model(images)
    )


def test_the_sample_that_was_given_stays():
    data = Data(image=torch.rand(1, 3, 4, 4))
    out = ImageToObjects(nn.Conv2d(3, 2, 1))(data)
    assert out.x.shape == (16, 4)
    assert not out.x.requires_grad
    assert list(data.keys()) == ["image"]


def test_of_several_maps_the_last_one_counts():
    image = torch.rand(1, 3, 4, 4)
    out = ImageToObjects(lambda image: [image, image[:, :2]], "picture")(
        Data(picture=image)
    )
    assert torch.equal(out.x[:, :2], image[0, :2].flatten(1).t())


@pytest.mark.skipif(
    find_spec("efficientnet_lite_pytorch") is None, reason="needs the extra vision"
)
def test_a_pretrained_network_gives_objects():
    network = EfficientNetLite0([3])
    image = torch.randint(0, 256, (1, 3, 32, 48), dtype=torch.uint8)
    out = ImageToObjects(network)(Data(image=image))
    assert out.x.shape == (4 * 6, 42)
    torch.testing.assert_close(out.x[7, :40], network(image)[0][0, :, 1, 1])


@pytest.mark.parametrize(
    ("data", "network", "message"),
    [
        (Data(), nn.Identity(), "`image` to have shape .* it is missing"),
        (
            Data(image=torch.zeros(2, 3, 4, 4)),
            nn.Identity(),
            r"it has \[2, 3, 4, 4\]; apply the transform to single samples",
        ),
        (
            Data(image=torch.zeros(1, 3, 4, 4)),
            nn.Flatten(),
            r"`network` to return a feature map .* got \[1, 48\]",
        ),
    ],
)
def test_bad_input_is_named(data, network, message):
    with pytest.raises(ValueError, match=message):
        ImageToObjects(network)(data)
