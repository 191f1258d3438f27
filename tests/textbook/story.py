"""The parts that read stories pass every check that applies to words.

Checks that move, scale or differentiate float rows do not; their counterparts for
stories are in tests/models/test_story_network.py.
"""

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_relational.models import (
    AttentionRelationNetwork,
    RecurrentRelationNetwork,
    RelationNetwork,
    StoryNetwork,
)
from pyg_relational.nn import SentenceEncoder
from pyg_relational.testing import Part, pair_value

TOKENS, POSITIONS = 12, 8


def texts(count: int, width: int, generator: torch.Generator) -> Tensor:
    """Random words, each text padded with 0 after one or more of them."""
    x = torch.randint(1, TOKENS, (count, width), generator=generator)
    length = torch.randint(1, width + 1, (count, 1), generator=generator)
    return x.where(torch.arange(width) < length, 0)


def make_stories(sizes: tuple[int, ...], seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch.from_data_list(
        [
            Data(
                sentence=texts(size, 5, generator),
                question=texts(1, 4, generator),
                position=torch.arange(size).flip(0),
                num_nodes=size,
            )
            for size in sizes
        ]
    )


def read(module: StoryNetwork, data: Batch) -> Tensor:
    return module(
        data.sentence, data.question, data.position, data.batch, data.num_graphs
    )


def naive_text(module: SentenceEncoder, text: Tensor) -> Tensor:
    """Word by word."""
    total = module.word.weight.new_zeros(module.out_channels)
    for place, word in zip(module.place, text, strict=False):
        if word != 0:
            total = total + place * module.word.weight[word]
    return total


def naive_texts(module: SentenceEncoder, data: Batch) -> Tensor:
    return torch.stack([naive_text(module, text) for text in data.sentence])


def naive_objects(module: StoryNetwork, graph: Data) -> tuple[list[Tensor], Tensor]:
    """The sentences of a story with their positions, and its question."""
    u = naive_text(module.read, graph.question[0])
    x = []
    for text, p in zip(graph.sentence, graph.position, strict=True):
        own = naive_text(module.read, text)
        x.append(torch.cat([own, own * u, module.position.weight[p]]))
    return x, u


def naive_relation(module: StoryNetwork, data: Batch) -> Tensor:
    sums = []
    for graph in data.to_data_list():
        x, u = naive_objects(module, graph)
        g = module.reasoner.relation.nn
        values = [pair_value(g, x_i, x_j, None, u) for x_i in x for x_j in x]
        sums.append(torch.stack(values).sum(dim=0))
    return module.reasoner.readout(torch.stack(sums))


def naive_reasoner(module: StoryNetwork, data: Batch) -> Tensor:
    """Story by story; what the reasoner does is checked with the reasoner."""
    out = []
    for graph in data.to_data_list():
        x, u = naive_objects(module, graph)
        out.append(module.reasoner(x=torch.stack(x), u=u[None]))
    return torch.cat(out)


def story_network(reasoner: nn.Module) -> StoryNetwork:
    return StoryNetwork(TOKENS, reasoner, 4, POSITIONS)


PARTS = {
    "SentenceEncoder": Part(
        lambda: SentenceEncoder(TOKENS, 4, 5),
        "node",
        naive=naive_texts,
        call=lambda module, data: module(data.sentence),
        make=make_stories,
    ),
    "StoryNetwork-relation": Part(
        lambda: story_network(RelationNetwork(12, 5, [8, 6], [6], u_dim=4)),
        "set",
        naive=naive_relation,
        call=read,
        make=make_stories,
    ),
    "StoryNetwork-attention": Part(
        lambda: story_network(
            AttentionRelationNetwork(12, 5, [8, 6], [6], heads=2, u_dim=4)
        ),
        "set",
        naive=naive_reasoner,
        call=read,
        make=make_stories,
    ),
    "StoryNetwork-recurrent": Part(
        lambda: story_network(
            RecurrentRelationNetwork(
                12, 5, 6, [6, 6], [6], [6], steps=2, output="set", u_dim=4
            )
        ),
        "set",
        naive=naive_reasoner,
        call=read,
        make=make_stories,
    ),
}
