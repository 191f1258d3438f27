import torch
from torch import Tensor, nn

from pyg_relational.nn import SentenceEncoder
from pyg_relational.nn.checks import check_device
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.sets import set_ptr
from pyg_relational.ops import ptr_to_batch


class StoryNetwork(Composite):
    r"""Answers a question about a story: sentences become objects, and any relational
    model reasons over them, as in `"A simple neural network module for relational
    reasoning" <https://arxiv.org/abs/1706.01427>`_ (Santoro et al., 2017), section 4.

    .. math::
        \mathbf{u} = \mathrm{read}(q), \quad
        \mathbf{x}_i = \mathrm{read}(s_i) \, \Vert \, \mathrm{read}(s_i) \odot
        \mathbf{u} \, \Vert \, \mathbf{P}_{p_i}, \quad
        \mathbf{y} = \mathrm{reasoner}(\{ \mathbf{x}_i \}, \mathbf{u})

    Sentences and question are read by the same
    :class:`~pyg_relational.nn.SentenceEncoder`, so that their product tells which words
    they share. The paper reads them by two LSTMs, without the product: with 1,000
    questions a task that learns the words by heart. It tags a sentence with the one-hot
    of its position, which its first layer embeds; here the embedding is a parameter.

    Args:
        num_tokens (int): The number of words, padding included.
        reasoner (torch.nn.Module): Called as :obj:`reasoner(x=, u=, batch=,
            batch_size=)`, with :attr:`in_channels` and :attr:`u_dim` as its widths:
            a :class:`RelationNetwork`, say.
        channels (int): The width of a word, a sentence and a position.
            (default: :obj:`32`)
        max_sentences (int): The number of positions. (default: :obj:`20`)
        max_words (int): The number of words of the longest text.
            (default: :obj:`12`)

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
        channels: int = 32,
        max_sentences: int = 20,
        max_words: int = 12,
    ) -> None:
        super().__init__()
        self.in_channels, self.u_dim = 3 * channels, channels
        self.read = SentenceEncoder(num_tokens, channels, max_words)
        self.position = nn.Embedding(max_sentences, channels)
        self.reasoner = reasoner

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
        u, sentence = self.read(question, "question"), self.read(x)
        self._check(x, question, position, batch_size)
        names = ("batch", "question.size(0)")
        story = set_ptr(batch, x.size(0), u.size(0), x.device, names)
        product = sentence * u.index_select(0, ptr_to_batch(story, x.size(0)))
        objects = torch.cat([sentence, product, self.position(position)], dim=-1)
        return self.reasoner(x=objects, u=u, batch=batch, batch_size=u.size(0))

    def _check(
        self, x: Tensor, question: Tensor, position: Tensor, batch_size: int | None
    ) -> None:
        if batch_size is not None and question.size(0) != batch_size:
            raise ValueError(
                f"'question' must have one row for each of the {batch_size} stories "
                f"(got {question.size(0)} rows; 'batch_size={batch_size}')"
            )
        if position.shape != x.shape[:1]:
            raise ValueError(
                f"'position' must have one number for each of the {x.size(0)} "
                f"sentences (got shape {list(position.shape)})"
            )
        if position.dtype != torch.long:
            raise ValueError(f"'position' must be int64 (got {position.dtype})")
        check_device(position, x.device, "position", "'x'")
        if torch.compiler.is_compiling():
            return
        known = self.position.num_embeddings
        low, high = map(int, position.aminmax()) if position.numel() else (0, 0)
        if low < 0 or high >= known:
            raise ValueError(
                f"'position' must be from 0 to {known - 1} (got {low} to {high}); set "
                f"'max_sentences' of the model to that of the dataset"
            )
