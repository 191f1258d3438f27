"""Exported programs against the networks they came from, on other batches."""

import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_relational import models
from pyg_relational.hub.export import export_model
from pyg_relational.ops import fully_connected_edges

SIZES = (1, 2, 7)
RECURRENT = {
    "in_channels": 4,
    "out_channels": 3,
    "hidden_channels": 8,
    "relation_channels": (8, 8),
    "object_channels": (8,),
    "readout_channels": (8,),
    "steps": 2,
}


def graphs(count: int, *names: str) -> Batch:
    """Graphs of 2 to 5 objects; of the names those inputs that are asked for."""
    generator = torch.Generator().manual_seed(count)
    out = []
    for _ in range(count):
        size = int(torch.randint(2, 6, (), generator=generator))
        questions = size - 1 if "u_batch" in names else 1
        graph = Data(x=torch.randn(size, 4, generator=generator))
        if "u" in names:
            graph.u = torch.randn(questions, 2, generator=generator)
        if "edge_index" in names:
            graph.edge_index = fully_connected_edges(ptr=torch.tensor([0, size]))
            graph.edge_attr = torch.randn(size**2, 3, generator=generator)
        if "edge_label_attr" in names:
            graph.edge_attr = torch.randn(3, 3, generator=generator)
        if "edge_label_index" in names:
            graph.edge_label_index = torch.randint(size, (2, 3), generator=generator)
        out.append(graph)
    return Batch.from_data_list(out, ["u"] if "u_batch" in names else [])


def built(name: str, *args: object, **options: object) -> Callable[[], nn.Module]:
    return lambda: getattr(models, name)(*args, **options)


MLP = ((8, 8), (8,))
CASES = {
    "relation": (built("RelationNetwork", 4, 3, *MLP), ()),
    "relation-u": (built("RelationNetwork", 4, 3, (8,), (8,), u_dim=2), ("u",)),
    "relation-questions": (
        built("RelationNetwork", 4, 3, *MLP, object_channels=(8,), u_dim=2),
        ("u", "u_batch"),
    ),
    "relation-max": (built("RelationNetwork", 4, 3, *MLP, aggr="max"), ()),
    "relation-edges": (
        built("RelationNetwork", 4, 3, *MLP, edge_dim=3),
        ("edge_index",),
    ),
    **{
        f"attention-{score}": (
            built("AttentionRelationNetwork", 4, 3, *MLP, heads=2, score=score),
            (),
        )
        for score in ("additive", "mlp", "dot")
    },
    "pairs": (
        built("PairRelation", 4, 3, (8,), edge_dim=3),
        ("edge_label_index", "edge_label_attr"),
    ),
    "recurrent-nodes": (built("RecurrentRelationNetwork", **RECURRENT), ()),
    "recurrent-edges": (
        built("RecurrentRelationNetwork", **RECURRENT, edge_dim=3, output="edge"),
        ("edge_index",),
    ),
    "recurrent-set": (
        built("RecurrentRelationNetwork", **RECURRENT, u_dim=2, output="set"),
        ("u",),
    ),
    "deep-sets": (built("DeepSets", 4, 3, (8,), (8,), u_dim=2), ("u", "u_batch")),
    "graph-network": (
        built("GraphNetwork", 4, 3, 8, 2, (8,), edge_dim=3, u_dim=2, output="set"),
        ("u", "edge_index"),
    ),
    "graph-relation": (
        built("GraphRelationNetwork", 4, 3, 8, 2, (), (8,), edge_dim=3),
        ("edge_index",),
    ),
    "graph-attention": (
        built("GraphAttentionNetwork", 4, 3, 8, 1, 2, (8,), edge_dim=3),
        ("edge_index", "edge_label_index"),
    ),
}


# The others take as long again, and differ from these in parts of their own only.
QUICK = {"relation", "relation-questions", "attention-mlp", "pairs", "recurrent-set"}
NAMES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in CASES
]


def inputs_of(program: torch.export.ExportedProgram, batch: Batch) -> dict[str, Tensor]:
    names = program.graph_signature.user_inputs
    return {name: batch[name] for name in names}


@pytest.mark.parametrize("name", NAMES)
def test_other_batches_get_the_same_answers(name: str) -> None:
    build, extra = CASES[name]
    torch.manual_seed(0)
    model = build().train()
    program = export_model(model, graphs(3, *extra))
    assert model.training
    model.eval()
    for count in SIZES:
        inputs = inputs_of(program, graphs(count, *extra))
        given = {key: x for key, x in inputs.items() if key != "ptr"}
        if "batch" in inputs:
            given["batch_size"] = count
        with torch.no_grad():
            expected = model(**given)
        found = program.module()(**inputs)
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_a_program_is_saved_and_loaded() -> None:
    model = models.RelationNetwork(4, 3, (8,), (8,)).eval()
    file = io.BytesIO()
    torch.export.save(export_model(model, graphs(3)), file)
    file.seek(0)
    batch = graphs(5)
    program = torch.export.load(file).module()
    found = program(x=batch.x, batch=batch.batch, ptr=batch.ptr)
    torch.testing.assert_close(found, model(batch.x, batch=batch.batch))


def test_one_graph_needs_no_batch() -> None:
    model = models.RelationNetwork(4, 3, (8,), (8,)).eval()
    program = export_model(model, {"x": torch.randn(3, 4)}).module()
    for size in (1, 2, 9):
        x = torch.randn(size, 4)
        torch.testing.assert_close(program(x=x), model(x))


@pytest.mark.parametrize(
    ("model", "part"),
    [
        (models.R2N2(4, 3, 8, (8,), (8,)), "SequenceEncoder"),
        (models.R2N2(4, 3, 8, relation="none", cell="gru"), "SequenceEncoder"),
        (models.TemporalRelationNetwork(4, 3), "SequenceEncoder"),
        (
            models.RelationalMemoryNetwork(4, 3, 2, 2, 4, (8,)),
            "RelationalMemoryNetwork",
        ),
    ],
)
def test_loops_over_sequences_have_no_program(model: nn.Module, part: str) -> None:
    message = f"{type(model).__name__} cannot be exported: its {part} takes as many"
    with pytest.raises(ValueError, match=message):
        export_model(model, graphs(3))


def pointer() -> nn.Module:
    options = {**RECURRENT, "out_channels": 1, "output": "pointer"}
    return models.RecurrentRelationNetwork(**options)


@pytest.mark.parametrize(
    ("model", "example", "message"),
    [
        (pointer(), graphs(3), "RecurrentRelationNetwork cannot be exported with the"),
        (
            models.RelationNetwork(4, 3, (8,)),
            {"x": torch.zeros(2, 4), "batch": torch.tensor([0, 1])},
            "nothing says how many graphs there are: add 'ptr'",
        ),
        (
            models.RelationNetwork(4, 3, (8,)),
            graphs(1),
            r"'ptr' of 'example' has shape \[2\]; .* give at least two graphs",
        ),
        (
            models.RelationNetwork(4, 3, (8,)),
            {"x": torch.zeros(2, 4), "colour": torch.zeros(2)},
            r"'example' holds \['colour'\], which RelationNetwork does not take",
        ),
        (
            models.RelationNetwork(5, 3, (8,)),
            {"x": torch.zeros(2, 4)},
            "^'x' must have 5 features",
        ),
        (
            nn.LSTM(4, 3),
            {"input": torch.zeros(2, 4)},
            "answers with one tensor, not tuple",
        ),
    ],
)
def test_bad_examples(
    model: nn.Module, example: Data | dict[str, Tensor], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        export_model(model, example)
