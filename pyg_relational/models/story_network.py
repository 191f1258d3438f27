import torch
from torch import Tensor, nn
from torch_geometric.nn.inits import reset

from pyg_relational.nn import SentenceEncoder


class StoryNetwork(nn.Module):
    r"""Answers a question about a story: sentences become objects, and any relational
    model reasons over them, as in `"A simple neural network module for relational
    reasoning" <https://arxiv.org/abs/1706.01427>`_ (Santoro et al., 2017), section 4.

    .. math::
        \mathbf{x}_i = \mathrm{LSTM}(\mathbf{s}_i) \, \Vert \, \mathbf{P}_{p_i}, \quad
        \mathbf{u} = \mathrm{LSTM}^{\prime}(\mathbf{q}), \quad
        \mathbf{y} = \mathrm{reasoner}(\{ \mathbf{x}_i \}, \mathbf{u})

    Sentences and question share the embedding of words. The paper tags a sentence with
    the one-hot of its position, which its first layer embeds; here the embedding is
    its own parameter.

    Args:
        num_tokens (int): The number of words, padding included.
        reasoner (torch.nn.Module): Called as :obj:`reasoner(x=, u=, batch=,
            batch_size=)`, with :attr:`in_channels` and :attr:`u_dim` as its widths:
            a :class:`RelationNetwork`, say.
        sentence_channels (int): The width of a sentence and of the question.
            (default: :obj:`32`)
        word_channels (int): The width of a word. (default: :obj:`32`)
        position_channels (int): The width of a position. (default: :obj:`32`)
        max_sentences (int): The number of positions. (default: :obj:`20`)

    Shapes:
        - **input:** words of each sentence :math:`(N, W)` and of the questions
          :math:`(B, W^{\prime})`, padded with 0, positions :math:`(N)`, story of each
          sentence :math:`(N)`
        - **output:** what the reasoner answers for :math:`B` sets, which may be empty

    Raises:
        ValueError: If words or positions are unknown, a text has no words, or
            questions do not fit the stories.
    """

    def __init__(
        self,
        num_tokens: int,
        reasoner: nn.Module,
        sentence_channels: int = 32,
        word_channels: int = 32,
        position_channels: int = 32,
        max_sentences: int = 20,
    ) -> None:
        super().__init__()
        self.in_channels = sentence_channels + position_channels
        self.u_dim = sentence_channels
        word = nn.Embedding(num_tokens, word_channels, padding_idx=0)
        self.sentence = SentenceEncoder(word, sentence_channels)
        self.question = SentenceEncoder(word, sentence_channels)
        self.position = nn.Embedding(max_sentences, position_channels)
        self.reasoner = reasoner

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.sentence.reset_parameters()
        self.question.reset_parameters()
        self.position.reset_parameters()
        reset(self.reasoner)

    def forward(
        self,
        x: Tensor,
        question: Tensor,
        position: Tensor,
        batch: Tensor | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor): The words of each sentence, shape :math:`[N, W]`.
            question (torch.Tensor): The words of each question, one for each story.
            position (torch.Tensor): The position of each sentence in its story, 0 for
                the one nearest to the question, shape :math:`[N]`.
            batch (torch.Tensor, optional): The story of each sentence, ascending.
                (default: :obj:`None`)
            batch_size (int, optional): The number of stories. (default: :obj:`None`)
        """
        self._check(x, question, position, batch_size)
        u = self.question(question, "question")
        objects = torch.cat([self.sentence(x), self.position(position)], dim=-1)
        return self.reasoner(x=objects, u=u, batch=batch, batch_size=u.size(0))

    def _check(
        self, x: Tensor, question: Tensor, position: Tensor, batch_size: int | None
    ) -> None:
        if batch_size is not None and question.size(0) != batch_size:
            raise ValueError(
                f"'question' must have one row for each of the {batch_size} stories "
                f"(got {question.size(0)} rows)"
            )
        if position.shape != x.shape[:1]:
            raise ValueError(
                f"'position' must have one number for each of the {x.size(0)} "
                f"sentences (got shape {list(position.shape)})"
            )
        if position.dtype != torch.long:
            raise ValueError(f"'position' must be int64 (got {position.dtype})")
        known = self.position.num_embeddings
        low, high = map(int, position.aminmax()) if position.numel() else (0, 0)
        if low < 0 or high >= known:
            raise ValueError(
                f"'position' must be from 0 to {known - 1} (got {low} to {high}); set "
                f"'max_sentences' of the model to that of the dataset"
            )
