"""The models of pairs of sentences pass every check."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_relational.models import SentenceRelationClassifier, TokenRelationClassifier
from pyg_relational.nn.attention import MLPScore
from pyg_relational.testing import Part, pair_value

WIDTH = 5


def make_tokens(sizes: tuple[int, ...], seed: int) -> Batch:
    """Tokens in any order; the sign of the last column tells the sentence, so that it
    goes where the token goes."""
    generator = torch.Generator().manual_seed(seed)
    x = [torch.randn(n, WIDTH + 1, generator=generator).double() for n in sizes]
    return Batch.from_data_list([Data(x=rows) for rows in x])


def sides(data: Batch) -> Tensor:
    return (data.x[:, WIDTH] > 0).long()


def run_tokens(module: TokenRelationClassifier, data: Batch) -> Tensor:
    x, side = data.x[:, :WIDTH], sides(data)
    out: Tensor = module(x, side, data.batch, data.num_graphs)
    return out


def make_sentences(sizes: tuple[int, ...], seed: int) -> Batch:
    """Premise and hypothesis for each graph, whatever its size."""
    generator = torch.Generator().manual_seed(seed)
    x = [torch.randn(2, WIDTH, generator=generator).double() for _ in sizes]
    return Batch.from_data_list([Data(x=rows) for rows in x])


def interactions(u: Tensor, v: Tensor) -> Tensor:
    return torch.cat([(u - v).abs(), u * v])


def naive_sentences(module: SentenceRelationClassifier, data: Batch) -> Tensor:
    pairs = data.x.view(-1, 2, WIDTH)
    relation = module.pair.relation
    return torch.stack(
        [pair_value(relation, v, u, interactions(u, v)) for u, v in pairs]
    )


def naive_scores(score: MLPScore, x_i: Tensor, x_j: Tensor, edge: Tensor) -> Tensor:
    """The score of a pair for each head."""
    h = score.lin_r(x_i) + score.lin_l(x_j) + score.lin_edge(edge)
    h = F.leaky_relu(h, 0.2).view(score.heads, -1)
    return torch.stack([a @ part for a, part in zip(score.att, h, strict=True)])


def naive_tokens(module: TokenRelationClassifier, data: Batch) -> Tensor:
    attention, side = module.network.relation.attention, sides(data)
    z = module.lin(data.x[:, :WIDTH])
    objects = torch.cat([z, torch.eye(2, dtype=z.dtype)[side]], dim=1)
    sums = [z.new_zeros(attention.nn.out_channels) for _ in range(data.num_graphs)]
    for i in range(data.num_nodes):
        others = (data.batch == data.batch[i]) & (side != side[i])
        partners = others.nonzero()[:, 0].tolist()
        if not partners:
            continue
        said, scores = [], []
        for j in partners:
            pair = (objects[i], objects[j], interactions(z[i], z[j]))
            said.append(pair_value(attention.nn, *pair).view(attention.heads, -1))
            scores.append(naive_scores(attention.score, *pair))
        # [partners, K, 1] of [partners, K, C]
        alpha = torch.stack(scores).softmax(dim=0).unsqueeze(-1)
        heard = (alpha * torch.stack(said)).sum(dim=0).flatten()
        sums[int(data.batch[i])] = sums[int(data.batch[i])] + heard
    return module.network.readout(torch.stack(sums))


PARTS = {
    "sentences": Part(
        lambda: SentenceRelationClassifier(WIDTH, 3, [6, 4]),
        output="set",
        make=make_sentences,
        naive=naive_sentences,
    ),
    "tokens": Part(
        lambda: TokenRelationClassifier(WIDTH, 3, 4, [6, 12], [4], heads=2),
        output="set",
        call=run_tokens,
        make=make_tokens,
        naive=naive_tokens,
        # How many pairs there are depends on values.
        compiles=False,
    ),
}
