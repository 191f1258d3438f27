"""The list of all public layers and models, with what they compute in textbook loops.

A new one belongs here: it is then held to the contract, and to the table of bad inputs.
"""

import torch
from textbook import (
    composition,
    graph_tasks,
    graphs,
    images,
    recurrent,
    sentences,
    sequences,
    sets,
    statement,
    story,
    temporal,
)
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_relational.models import (
    R2N2,
    RelationalMemoryNetwork,
    RelationNetwork,
    SpatioTemporalRelationNetwork,
)
from pyg_relational.nn import (
    GraphRelationConv,
    ImageEncoder,
    ObjectEncoder,
    PairReadout,
    PairwiseMLP,
    RelationAttentionConv,
    RelationCompositionCell,
    RelationConv,
    StepAttention,
)
from pyg_relational.nn.frames import read_frames
from pyg_relational.ops import fully_connected_edges
from pyg_relational.testing import Part


def run_steps(module: StepAttention, data: Batch) -> Tensor:
    return module(data.x, data.batch, dim_size=data.num_graphs)


def run_pairs_of_nodes(module: PairReadout, data: Batch) -> Tensor:
    x = data.x.unsqueeze(1)
    frames = read_frames(x, batch=data.batch, batch_size=data.num_graphs)
    return module(data.x, frames, data.edge_index)


def run_two_sides(module: nn.Module, data: Batch) -> Tensor:
    """All rows as targets, all but the last of each set as sources."""
    last = data.batch.diff(append=data.batch[-1:] + 1) > 0
    if "edge_index" in data:
        kept = ~last.cumsum(0).bool()[data.edge_index[0]]
        return module((data.x[: int(kept.sum())], data.x), data.edge_index[:, :0])
    x, batch = (data.x[~last], data.x), (data.batch[~last], data.batch)
    return module(x, batch=batch, batch_size=data.num_graphs)


def run_two_sides_of_edges(module: nn.Module, data: Batch) -> Tensor:
    return module((data.x, data.x + 1), data.edge_index)


def run_two_compositions(module: RelationCompositionCell, data: Batch) -> Tensor:
    """The objects are pairs; the last of each set is composed of all others."""
    last = data.batch.diff(append=data.batch[-1:] + 1) > 0
    x = data.x.softmax(dim=1).where(~last.unsqueeze(1), 0)
    pairs = fully_connected_edges(ptr=data.ptr, self_pairs=False)
    end = data.ptr[1:][data.batch[pairs[0]]] - 1
    triples = torch.cat([pairs, end.unsqueeze(0)])
    triples = triples[:, (triples[:2] != triples[2]).all(dim=0)]
    state = module(x, triples=triples)
    return module(x, state, triples=triples)[0]


def run_questions(module: nn.Module, data: Batch) -> Tensor:
    graphs = torch.arange(data.num_graphs)
    return module(
        data.x,
        u=data.u,
        batch=data.batch,
        batch_size=data.num_graphs,
        u_batch=graphs,
    )


def run_image(module: ImageEncoder, data: Batch) -> Tensor:
    return module(data.image)


def small_images(sizes: tuple[int, ...], seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(len(sizes), 1, 3, 8, 8, generator=generator).double()
    return Batch.from_data_list([Data(image=x, num_nodes=1) for x in image])


def tokens(sizes: tuple[int, ...], seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    steps = [torch.randint(9, (size,), generator=generator) for size in sizes]
    return Batch.from_data_list([Data(x=x, num_nodes=len(x)) for x in steps])


def frames(sizes: tuple[int, ...], seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = [torch.randn(n, 3, 5, generator=generator).double() for n in sizes]
    return Batch.from_data_list(
        [Data(x=x, num_frames=torch.tensor([3]), num_nodes=len(x)) for x in x]
    )


MORE_PARTS = {
    "StepAttention": Part(lambda: StepAttention(5, 4), "set", call=run_steps),
    "ObjectEncoder": Part(
        lambda: ObjectEncoder(5, [6], u_dim=2),
        "node",
        u_dim=2,
        call=lambda module, data: module(
            data.x, u=data.u, batch=data.batch, batch_size=data.num_graphs
        )[0],
    ),
    "ImageEncoder": Part(
        lambda: ImageEncoder(nn.Conv2d(3, 2, 3), 6, 2),
        "set",
        make=small_images,
        call=run_image,
    ),
    "RelationCompositionCell": Part(
        lambda: RelationCompositionCell(3, PairwiseMLP(3, [6, 4], plain_last=True)),
        "node",
        3,
        call=run_two_compositions,
        compiles=False,
    ),
    "RelationalMemoryNetwork": Part(
        lambda: RelationalMemoryNetwork(5, 3, 2, 2, 3, [4]), "set", empty=False
    ),
    "PairReadout": Part(
        lambda: PairReadout(5, 2, [6], [4]), "pair", edges=True, call=run_pairs_of_nodes
    ),
    "RelationConv-two-sides": Part(
        lambda: RelationConv(PairwiseMLP((5, 5), [6, 4])), "node", call=run_two_sides
    ),
    "RelationConv-two-sides-edges": Part(
        lambda: RelationConv(PairwiseMLP((5, 5), [6, 4])),
        "node",
        edges=True,
        call=run_two_sides_of_edges,
    ),
    "RelationAttentionConv-two-sides": Part(
        lambda: RelationAttentionConv((5, 5), 2, 2), "node", call=run_two_sides
    ),
    "RelationAttentionConv-two-sides-edges": Part(
        lambda: RelationAttentionConv((5, 5), 2, 2, "mlp"),
        "node",
        edges=True,
        call=run_two_sides_of_edges,
    ),
    "GraphRelationConv-two-sides": Part(
        lambda: GraphRelationConv((5, 5), 4),
        "node",
        edges=True,
        call=run_two_sides_of_edges,
    ),
    "RelationNetwork-questions": Part(
        lambda: RelationNetwork(5, 3, [6], [6], u_dim=2),
        "set",
        u_dim=2,
        call=run_questions,
    ),
    "RelationNetwork-object-questions": Part(
        lambda: RelationNetwork(5, 3, [6], [6], [4], u_dim=2),
        "set",
        u_dim=2,
        call=run_questions,
    ),
    "R2N2-tokens": Part(
        lambda: R2N2(5, 2, 4, [6], [7], num_tokens=9), "set", make=tokens, empty=False
    ),
    "SpatioTemporalRelationNetwork-frames": Part(
        lambda: SpatioTemporalRelationNetwork(5, 2, 4, [6], output="forecast"),
        "node",
        make=frames,
    ),
}

FAMILIES = {
    "": sets,
    "composition": composition,
    "graph_tasks": graph_tasks,
    "graphs": graphs,
    "images": images,
    "recurrent": recurrent,
    "sentences": sentences,
    "sequences": sequences,
    "statement": statement,
    "story": story,
    "temporal": temporal,
}
#: Parts with textbook loops, by name.
CONTRACT_PARTS = {
    f"{family}-{name}".removeprefix("-"): part
    for family, module in FAMILIES.items()
    for name, part in module.PARTS.items()
}
PARTS = {**CONTRACT_PARTS, **MORE_PARTS}
