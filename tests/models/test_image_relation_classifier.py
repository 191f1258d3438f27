import pytest
import torch
from torch import nn

from pyg_relational.models import ImageRelationClassifier
from pyg_relational.nn import ImageEncoder

PAIRS = torch.tensor([[0, 1, 2], [1, 2, 0]])


def tiny_encoder(frozen):
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    return ImageEncoder(network, size=6, grid=2, frozen=frozen)


def test_features_and_images_give_the_same_answer():
    torch.manual_seed(0)
    encoder = tiny_encoder(frozen=True)
    model = ImageRelationClassifier(16, 5, encoder=encoder).eval()
    image = torch.randint(0, 256, (3, 1, 6, 6), dtype=torch.uint8)
    out = model(image, PAIRS)
    assert out.shape == (3, 5)
    head = ImageRelationClassifier(16, 5).eval()
    head.load_state_dict(model.state_dict(), strict=False)
    torch.testing.assert_close(head(encoder(image), PAIRS), out)


def test_the_direction_counts_unless_only_the_difference_is_known():
    torch.manual_seed(0)
    x = torch.randn(3, 6)
    for options, knows in (
        ({}, True),
        ({"interactions": ["offset"], "ends": False}, True),
        ({"interactions": []}, True),
        ({"interactions": ["difference"], "ends": False}, False),
    ):
        model = ImageRelationClassifier(6, 5, **options)
        same = torch.allclose(model(x, PAIRS), model(x, PAIRS.flip(0)))
        assert same is not knows


@pytest.mark.parametrize("frozen", [True, False])
def test_training_moves_the_encoder_only_where_it_is_fine_tuned(frozen):
    torch.manual_seed(0)
    model = ImageRelationClassifier(16, 5, encoder=tiny_encoder(frozen)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.Adam(p for p in model.parameters() if p.requires_grad)
    out = model(torch.rand(3, 3, 6, 6), PAIRS)
    nn.functional.cross_entropy(out, torch.tensor([0, 1, 2])).backward()
    optimizer.step()
    for name, value in model.state_dict().items():
        stays = frozen and name.startswith("encoder.")
        assert torch.equal(value, before[name]) is stays, name


def test_reset_leaves_the_encoder():
    model = ImageRelationClassifier(16, 5, encoder=tiny_encoder(frozen=False))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.reset_parameters()
    for name, value in model.state_dict().items():
        stays = name.startswith("encoder.")
        assert torch.equal(value, before[name]) is stays, name


def test_a_head_for_another_encoder_is_refused():
    message = "'encoder' gives rows of width 16, .*'in_channels=12'"
    with pytest.raises(ValueError, match=message):
        ImageRelationClassifier(12, 5, encoder=tiny_encoder(frozen=True))
    model = ImageRelationClassifier(12, 5)
    with pytest.raises(ValueError, match=r"'x' must have 12 features per row"):
        model(torch.zeros(3, 16), PAIRS)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="'interactions' must name one or more"):
        ImageRelationClassifier(6, 5, interactions=[], ends=False)
    with pytest.raises(ValueError, match="'interactions' must be a list of"):
        ImageRelationClassifier(6, 5, interactions=["sum"])
    with pytest.raises(ValueError, match="'edge_label_index' is missing"):
        ImageRelationClassifier(6, 5)(torch.zeros(3, 6))
