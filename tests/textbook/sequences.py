from functools import partial

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_relational.models import R2N2, TemporalRelationNetwork
from pyg_relational.nn import PairwiseMLP, StepAttention
from pyg_relational.nn.recurrent import RelationalSequenceEncoder
from pyg_relational.testing import Part
from pyg_relational.testing.naive import pair_value


def run_cell(rnn: nn.RNNBase, kind: str, suffix: str, steps: Tensor) -> Tensor:
    """One direction of one layer, step by step from the equations."""
    w, r = (getattr(rnn, f"weight_{x}_{suffix}") for x in ("ih", "hh"))
    b, d = (getattr(rnn, f"bias_{x}_{suffix}") for x in ("ih", "hh"))
    h = c = steps.new_zeros(rnn.hidden_size)
    states = []
    for x in steps:
        own, past = w @ x + b, r @ h + d
        if kind == "rnn":
            h = (own + past).tanh()
        elif kind == "gru":
            a, u, n = own.chunk(3)
            a2, u2, n2 = past.chunk(3)
            z = (u + u2).sigmoid()
            h = (1 - z) * (n + (a + a2).sigmoid() * n2).tanh() + z * h
        else:
            i, f, g, o = (own + past).chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states)


def naive_states(encoder: nn.Module, x: Tensor) -> Tensor:
    rnn = encoder.rnn
    for layer in range(rnn.num_layers):
        out = run_cell(rnn, encoder.cell, f"l{layer}", x)
        if encoder.bidirectional:
            back = run_cell(rnn, encoder.cell, f"l{layer}_reverse", x.flip(0)).flip(0)
            out = torch.cat([out, back], dim=1)
        x = out
    return x


def naive_related(g: PairwiseMLP | None, target: Tensor, source: Tensor) -> Tensor:
    if g is None:
        return target
    rows = []
    for x_i in target:
        pairs = torch.stack([pair_value(g, x_i, x_j) for x_j in source])
        rows.append(torch.cat([x_i, pairs.amax(0)]))
    return torch.stack(rows)


def naive_attention(layer: StepAttention, h: Tensor) -> Tensor:
    score = torch.stack([(layer.score(layer.lin(row).tanh())) for row in h])
    weight = score.exp() / score.exp().sum()
    return (weight * h).sum(0)


def naive_encoder(encoder: RelationalSequenceEncoder, data: Data) -> Tensor:
    outputs = []
    for sample in data.to_data_list():
        lengths = sample.length.tolist() if "length" in sample else [len(sample.x)]
        vectors = []
        for x in sample.x.split(lengths):
            if encoder.u_dim is not None:
                x = torch.stack([torch.cat([row, sample.u[0]]) for row in x])
            h = naive_states(encoder.sequence, x)
            if encoder.attention is None:
                last = h[-1]
                if encoder.sequence.bidirectional:
                    width = encoder.sequence.hidden_channels
                    last = torch.cat([h[-1, :width], h[0, width:]])
                vectors.append(naive_related(encoder.steps, last[None], h)[0])
            else:
                h = naive_related(encoder.steps, h, h)
                vectors.append(naive_attention(encoder.attention, h))
        rows = torch.stack(vectors)
        rows = naive_related(encoder.entities, rows, rows)
        outputs.append(rows.mean(0, keepdim=True) if encoder.output == "set" else rows)
    return torch.cat(outputs)


def naive_model(model: nn.Module, data: Data) -> Tensor:
    return model.head(naive_encoder(model.backbone, data))


def entities(sizes: tuple[int, ...], seed: int) -> Batch:
    """Samples of several sequences of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for size in sizes:
        length = torch.randint(1, 5, (size,), generator=generator)
        x = torch.randn(int(length.sum()), 5, generator=generator).double()
        samples.append(Data(x=x, length=length))
    return Batch.from_data_list(samples)


def equally_long(sizes: tuple[int, ...], seed: int) -> Batch:
    batch = entities(sizes, seed)
    for sample in (samples := batch.to_data_list()):
        sample.length = torch.full_like(sample.length, 3)
        generator = torch.Generator().manual_seed(seed)
        sample.x = torch.randn(3 * len(sample.length), 5, generator=generator).double()
    return Batch.from_data_list(samples)


encode = partial(RelationalSequenceEncoder, 5, 4, [6, 3])
SEQUENCE = partial(Part, naive=naive_encoder, compiles=False, empty=False)
MODEL = partial(Part, naive=naive_model, compiles=False, empty=False)
PARTS = {
    **{
        f"encoder-{cell}": SEQUENCE(partial(encode, cell=cell), "set")
        for cell in ("rnn", "gru", "lstm")
    },
    "encoder-bidirectional": SEQUENCE(
        partial(encode, cell="gru", bidirectional=True, num_layers=2), "set"
    ),
    "encoder-attention": SEQUENCE(
        partial(encode, readout="attention", bidirectional=True), "set"
    ),
    "encoder-entities": SEQUENCE(
        partial(encode, relation="entities", output="node"), "sequence", make=entities
    ),
    "encoder-both": SEQUENCE(
        partial(encode, relation="both", readout="attention"), "set", make=entities
    ),
    "encoder-equally-long": SEQUENCE(
        partial(encode, relation="both", output="node", bidirectional=True),
        "sequence",
        make=equally_long,
    ),
    "encoder-u": SEQUENCE(partial(encode, u_dim=2), "set", u_dim=2),
    "encoder-none": SEQUENCE(partial(encode, relation="none", cell="rnn"), "set"),
    "R2N2": MODEL(lambda: R2N2(5, 2, 4, [6, 3], [7]), "set"),
    "R2N2-node": MODEL(
        lambda: R2N2(5, 2, 4, [6, 3], relation="both", output="node"),
        "sequence",
        make=entities,
    ),
    "TemporalRelationNetwork": MODEL(
        lambda: TemporalRelationNetwork(5, 2, 4, [7]), "set"
    ),
}
