import torch
from torch import Tensor, nn

from pyg_relational.encoders.efficientnet import EfficientNetLite0
from pyg_relational.encoders.image_features import image_features
from pyg_relational.nn.checks import check_image


class ImageEncoder(nn.Module):
    r"""Turns images into rows of features by a pretrained network, frozen or
    fine-tuned.

    A feature map is averaged over the cells of a grid, so that features say where in
    the image something is; with :obj:`grid=1` it is averaged as a whole.

    Args:
        network (torch.nn.Module, optional): Turns images :math:`(B, 3, H, W)` into a
            feature map :math:`(B, C, h, w)`, a row :math:`(B, C)`, or a list of such:
            any network, one of torchvision, say. (default: stages 3 and 4 of
            EfficientNet-Lite0, with the weights of an installed package)
        size (int): The side of the square that images are scaled to.
            (default: :obj:`32`)
        grid (int): Rows and columns of the grid. (default: :obj:`4`)
        frozen (bool): Whether the network stays as it is: no gradients, and statistics
            of batches do not move. (default: :obj:`True`)

    Shapes:
        - **input:** images :math:`(B, C, H, W)`, bytes from 0 to 255 or floats from 0
          to 1, of one or three channels
        - **output:** features :math:`(B, F)`

    Raises:
        ModuleNotFoundError: If the default network is not installed.
        ValueError: If sizes are not positive, or images or the network's output do not
            fit.
    """

    def __init__(
        self,
        network: nn.Module | None = None,
        size: int = 32,
        grid: int = 4,
        frozen: bool = True,
    ) -> None:
        super().__init__()
        if size < 1 or grid < 1:
            raise ValueError(
                f"'size' and 'grid' must be at least 1 (got {size} and {grid})"
            )
        self.network = EfficientNetLite0([3, 4]) if network is None else network
        self.size, self.grid, self.frozen = size, grid, frozen
        if frozen:
            self.network.requires_grad_(False)
        self.train(self.training)
        self.out_channels = self._width()

    def train(self, mode: bool = True) -> "ImageEncoder":
        r"""Sets training mode; a frozen network stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.network.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        r"""Runs the forward pass."""
        like = next(self.network.parameters(), None)
        image = check_image(image, (1, 3), like)
        image = image.expand(-1, 3, -1, -1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return image_features(self.network, image, self.size, self.grid)

    def _width(self) -> int:
        training = self.network.training
        self.network.eval()
        with torch.no_grad():
            width = self.forward(torch.zeros(1, 3, self.size, self.size)).size(1)
        self.network.train(training)
        return width

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({type(self.network).__name__}, "
            f"{self.out_channels}, frozen={self.frozen})"
        )
