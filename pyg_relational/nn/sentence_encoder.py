import torch
from torch import Tensor, nn

from pyg_relational.nn.index_checks import check_tokens


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
