from collections.abc import Sequence

from torch import Tensor, nn

from pyg_relational.nn.checks import check_image
from pyg_relational.ops import map_to_objects


class ImageObjectEncoder(nn.Module):
    r"""Turns images into sets of objects by convolutions that are trained: one object
    per cell of their feature map, tagged with its position, as in `"A simple neural
    network module for relational reasoning"
    <https://arxiv.org/abs/1706.01427>`_ (Santoro et al., 2017), section 4.

    Each layer is a 3x3 convolution with stride 2, rectified and batch-normalised.

    Args:
        in_channels (int): The number of colour channels.
        channel_list (list of int): The number of kernels of each layer.

    Shapes:
        - **input:** images :math:`(B, C, H, W)`; bytes are scaled from 0-255 to 0-1
        - **output:** objects :math:`(B \cdot h \cdot w, C_{out} + 2)` whose last two
          features are row and column in :math:`[-1, 1]`; the image of each object
          :math:`(B \cdot h \cdot w)`

    Raises:
        ValueError: If the images do not have four dimensions or the number of colour
            channels does not fit.
    """

    def __init__(self, in_channels: int, channel_list: Sequence[int]) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.channel_list = list(channel_list)
        self.out_channels = self.channel_list[-1] + 2
        layers: list[nn.Module] = []
        for before, after in zip(
            [in_channels, *self.channel_list], self.channel_list, strict=False
        ):
            layers.append(nn.Conv2d(before, after, 3, stride=2, padding=1))
            layers += [nn.ReLU(), nn.BatchNorm2d(after)]
        self.layers = nn.Sequential(*layers)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for layer in self.layers:
            if not isinstance(layer, nn.ReLU):
                layer.reset_parameters()  # type: ignore[operator]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        r"""Runs the forward pass."""
        like = next(self.layers.parameters(), None)
        image = check_image(image, (self.in_channels,), like)
        return map_to_objects(self.layers(image))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.channel_list})"
