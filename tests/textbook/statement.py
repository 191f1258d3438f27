"""The network over statements passes every check, with each kind of reasoner."""

from functools import partial

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_relational.models import (
    AttentionRelationNetwork,
    DeepSets,
    RelationNetwork,
    StatementNetwork,
)
from pyg_relational.testing import Part, pair_value

TOKENS = 12


def make_statements(sizes: tuple[int, ...], seed: int) -> Batch:
    """Sets of objects, each with a sentence of one to five words."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for size in sizes:
        words = int(torch.randint(1, 6, (1,), generator=generator))
        samples.append(
            Data(
                x=torch.randn(size, 5, generator=generator).double(),
                sentence=torch.randint(TOKENS, (words,), generator=generator),
            )
        )
    return Batch.from_data_list(samples)


def read(module: StatementNetwork, data: Batch) -> Tensor:
    words = data._slice_dict["sentence"].diff()
    owner = torch.arange(data.num_graphs).repeat_interleave(words)
    return module(data.x, data.sentence, owner, data.batch, data.num_graphs)


def naive_sentence(module: StatementNetwork, words: Tensor) -> Tensor:
    """The LSTM word by word, from its equations; backwards too if it reads so."""
    rnn, word = module.read.sequence.rnn, module.read.embedding.weight
    states = []
    for suffix in ("l0", "l0_reverse")[: 1 + rnn.bidirectional]:
        w, r = (getattr(rnn, f"weight_{x}_{suffix}") for x in ("ih", "hh"))
        b, d = (getattr(rnn, f"bias_{x}_{suffix}") for x in ("ih", "hh"))
        h = c = w.new_zeros(rnn.hidden_size)
        for token in words.flip(0) if suffix.endswith("reverse") else words:
            i, f, g, o = (w @ word[token] + b + r @ h + d).chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.cat(states)


def naive_relation(module: StatementNetwork, data: Batch) -> Tensor:
    g, sums = module.reasoner.relation.nn, []
    x_of = data.x.split(data.ptr.diff().tolist())
    for x, graph in zip(x_of, data.to_data_list(), strict=True):
        u = naive_sentence(module, graph.sentence)
        values = [pair_value(g, x_i, x_j, None, u) for x_i in x for x_j in x]
        sums.append(torch.stack(values).sum(dim=0))
    return module.reasoner.readout(torch.stack(sums))


def naive_reasoner(module: StatementNetwork, data: Batch) -> Tensor:
    """Set by set; what the reasoner does is checked with the reasoner."""
    x_of, out = data.x.split(data.ptr.diff().tolist()), []
    for x, graph in zip(x_of, data.to_data_list(), strict=True):
        u = naive_sentence(module, graph.sentence)
        out.append(module.reasoner(x=x, u=u[None]))
    return torch.cat(out)


STATEMENT = partial(
    # The words of ragged sentences are packed.
    Part,
    output="set",
    call=read,
    make=make_statements,
    compiles=False,
)
PARTS = {
    "relation": STATEMENT(
        lambda: StatementNetwork(
            TOKENS, RelationNetwork(5, 3, [8, 6], [6], u_dim=4), 3, 4
        ),
        naive=naive_relation,
    ),
    "attention": STATEMENT(
        lambda: StatementNetwork(
            TOKENS,
            AttentionRelationNetwork(5, 3, [8, 6], [6], heads=2, u_dim=8),
            3,
            4,
            bidirectional=True,
        ),
        naive=naive_reasoner,
    ),
    "no-pairs": STATEMENT(
        lambda: StatementNetwork(TOKENS, DeepSets(5, 3, [8, 6], [6], u_dim=4), 3, 4),
        naive=naive_reasoner,
    ),
}
