from torch import Tensor, nn

from pyg_relational.nn.checks import check_tokens
from pyg_relational.nn.composite import Composite
from pyg_relational.nn.recurrent import RelationalSequenceEncoder
from pyg_relational.nn.sets import set_ptr


class StatementNetwork(Composite):
    r"""Answers a sentence about a set of objects: a recurrent network reads the
    sentence, and any relational model reasons over the objects with it, as in `"A
    simple neural network module for relational reasoning"
    <https://arxiv.org/abs/1706.01427>`_ (Santoro et al., 2017), section 4.

    .. math::
        \mathbf{u} = \mathrm{read}(w_1, \ldots, w_T), \quad
        \mathbf{y} = \mathrm{reasoner}(\{ \mathbf{x}_i \}, \mathbf{u})

    The sentence is the last state of an RNN, GRU or LSTM over the embeddings of its
    words, in each direction, as :class:`~pyg_relational.nn.recurrent.\
    RelationalSequenceEncoder` gives it.

    Args:
        num_tokens (int): The number of words.
        reasoner (torch.nn.Module): Called as :obj:`reasoner(x=, u=, batch=,
            batch_size=)`, with :attr:`u_dim` as the width of its question: a
            :class:`RelationNetwork`, say.
        channels (int): The width of a word. (default: :obj:`32`)
        hidden_channels (int): The width of a state, in each direction.
            (default: :obj:`64`)
        cell (str): :obj:`"rnn"`, :obj:`"gru"` or :obj:`"lstm"`.
            (default: :obj:`"lstm"`)
        num_layers (int): The number of recurrent layers. (default: :obj:`1`)
        bidirectional (bool): Whether to read backwards too.
            (default: :obj:`False`)
        embedding_std (float): The standard deviation that embeddings are drawn with.
            (default: :obj:`1.0`)
        dropout (float): Dropout of embeddings, between recurrent layers, and of the
            sentence. (default: :obj:`0.0`)

    Shapes:
        - **input:** objects :math:`(N, F)`, words of all sentences :math:`(S)`,
          sentence of each word :math:`(S)`, set of each object :math:`(N)`
        - **output:** what the reasoner answers for :math:`B` sets, which may be empty

    Raises:
        ValueError: If words are unknown, a sentence has no words, or sentences do not
            fit the sets.
    """

    def __init__(
        self,
        num_tokens: int,
        reasoner: nn.Module,
        channels: int = 32,
        hidden_channels: int = 64,
        cell: str = "lstm",
        num_layers: int = 1,
        bidirectional: bool = False,
        embedding_std: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.read = RelationalSequenceEncoder(
            channels,
            hidden_channels,
            relation="none",
            cell=cell,
            num_layers=num_layers,
            bidirectional=bidirectional,
            num_tokens=num_tokens,
            embedding_std=embedding_std,
            dropout=dropout,
        )
        self.u_dim = self.read.out_channels
        self.dropout = nn.Dropout(dropout)
        self.reasoner = reasoner

    def forward(
        self,
        x: Tensor,
        sentence: Tensor,
        sentence_batch: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        r"""Runs the forward pass.

        Args:
            x (torch.Tensor): Objects, shape :math:`[N, F]`.
            sentence (torch.Tensor): The words of all sentences, one for each set, one
                sentence after the other, shape :math:`[S]`.
            sentence_batch (torch.Tensor, optional): The sentence of each word,
                ascending, which :obj:`DataLoader(..., follow_batch=["sentence"])`
                makes. (default: :obj:`None`)
            batch (torch.Tensor, optional): The set of each object, ascending.
                (default: :obj:`None`)
            batch_size (int, optional): The number of sets. (default: :obj:`None`)
        """
        if sentence_batch is None and batch_size not in (None, 1):
            raise ValueError(
                f"'sentence_batch' is missing; 'batch_size={batch_size}' needs the "
                f"sentence of each word, which DataLoader(..., "
                f"follow_batch=['sentence']) makes"
            )
        if sentence.dim() != 1:
            raise ValueError(
                f"'sentence' must hold the words of all sentences one after the other, "
                f"shape [S] (got shape {list(sentence.shape)})"
            )
        assert self.read.embedding is not None
        check_tokens(sentence, self.read.embedding.weight, "sentence")
        if sentence_batch is not None:
            names = ("sentence_batch", "batch_size")
            where = sentence.size(0), batch_size, sentence.device
            set_ptr(sentence_batch, *where, names, "sentence")
        u = self.read(sentence, batch=sentence_batch, batch_size=batch_size)
        u = self.dropout(u)
        return self.reasoner(x=x, u=u, batch=batch, batch_size=u.size(0))
