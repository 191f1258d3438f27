from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_relational.ops import map_to_objects


@functional_transform("image_to_objects")
class ImageToObjects(BaseTransform):
    r"""Turns an image into a set of objects: the cells of the feature map that a
    convolutional network gives, with their positions (functional name:
    :obj:`image_to_objects`).

    This is what :class:`~pyg_relational.models.PixelRelationNetwork` does within the
    model, for a network that is not trained, such as a pretrained one. Applied as the
    `pre_transform` of a dataset, it runs once for each image.

    Args:
        network (Callable): Turns images `[1, C, H, W]` into a feature map
            `[1, F, h, w]`, or a sequence of such, of which the last one counts;
            a :class:`torch.nn.Module` is called in evaluation mode.
        attribute (str): Holds the image, `[1, C, H, W]`, and is removed.
            (default: `"image"`)

    Shapes:
        - **x:** `[h * w, F + 2]`, row by row; the last two features are row and column
          in `[-1, 1]`

    Raises:
        ValueError: The attribute is missing, or it or the map has another shape.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor | Sequence[Tensor]],
        attribute: str = "image",
    ) -> None:
        self.network = network
        self.attribute = attribute
        if isinstance(network, torch.nn.Module):
            network.eval()

    def forward(self, data: Data) -> Data:
        """Returns the sample with objects in place of the image."""
        image = data.get(self.attribute)
        if image is None or image.dim() != 4 or image.size(0) != 1:
            found = "is missing" if image is None else f"has {list(image.shape)}"
            raise ValueError(
                f"Expected `{self.attribute}` to have shape [1, C, H, W], it {found}; "
                "apply the transform to single samples that hold an image."
            )
        with torch.no_grad():
            features = self.network(image)
        last = features if isinstance(features, Tensor) else features[-1]
        if last.dim() != 4 or last.size(0) != 1:
            raise ValueError(
                "Expected `network` to return a feature map [1, F, h, w], got "
                f"{list(last.shape)}; leave its pooling out."
            )
        del data[self.attribute]
        data.x, _ = map_to_objects(last)
        # Samples without edges may have noted how many nodes they had.
        data.num_nodes = None
        return data

    def __repr__(self) -> str:
        network = getattr(self.network, "__name__", type(self.network).__name__)
        return f"{self.__class__.__name__}({network})"
