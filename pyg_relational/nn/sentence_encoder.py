import torch
from torch import Tensor, nn

from pyg_relational.nn.checks import check_tokens


class SentenceEncoder(nn.Module):
    r"""Reads short texts word by word; the state after the last word stands for the
    text.

    .. math::
        \mathbf{h}_{t} = \mathrm{LSTM}(\mathbf{E}_{w_t}, \mathbf{h}_{t-1}), \quad
        \mathbf{s} = \mathbf{h}_{T}

    It is how `"A simple neural network module for relational reasoning"
    <https://arxiv.org/abs/1706.01427>`_ (Santoro et al., 2017) reads the sentences of
    bAbI. Equal texts are read once, as the texts of a batch often are.

    Args:
        word (torch.nn.Embedding): The words; its first row stands for padding and is
            never read. Encoders may share it.
        out_channels (int): The width of a text.

    Shapes:
        - **input:** word ids :math:`(N, W)`, each row padded with 0 after its words
        - **output:** :math:`(N, F_{out})`

    Raises:
        ValueError: If ids are unknown, a text has no words, or padding comes before a
            word.
    """

    def __init__(self, word: nn.Embedding, out_channels: int) -> None:
        super().__init__()
        self.word = word
        self.out_channels = out_channels
        self.lstm = nn.LSTM(word.embedding_dim, out_channels, batch_first=True)

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.word.reset_parameters()
        self.lstm.reset_parameters()

    def forward(self, x: Tensor, name: str = "x") -> Tensor:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor): Word ids, shape :math:`[N, W]`.
            name (str): What errors call the texts. (default: :obj:`"x"`)
        """
        self._check(x, name)
        if x.size(0) == 0:
            return self.word.weight.new_zeros(0, self.out_channels)
        x, inverse = x.unique(dim=0, return_inverse=True)
        length = (x != 0).sum(dim=1)
        # A state does not depend on later words: padding is read, but not looked at.
        h, _ = self.lstm(self.word(x[:, : int(length.max())]))
        last = h[torch.arange(x.size(0), device=x.device), length - 1]
        return last.index_select(0, inverse)

    def _check(self, x: Tensor, name: str) -> None:
        if x.dim() != 2:
            raise ValueError(
                f"'{name}' must hold one text per row, shape [N, W] (got shape "
                f"{list(x.shape)})"
            )
        check_tokens(x, self.word.num_embeddings, name)
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
            f"{self.__class__.__name__}({self.word.embedding_dim}, "
            f"{self.out_channels}, num_tokens={self.word.num_embeddings})"
        )
