from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_relational.datasets import (
    MovingShapes,
    Pedestrians,
    PhysicalConnections,
    PhysicalMotion,
)
from pyg_relational.models import SpatioTemporalRelationNetwork
from pyg_relational.train import plots as temporal_pictures
from pyg_relational.train.module import RelationalModule

PNG = b"\x89PNG"
SIZES = {"num_train": 1, "num_val": 1, "num_test": 4}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is given to the plots, which draw all the same."""
    seen: dict[str, Any] = {}
    for name in ("plot_trajectories", "plot_interactions", "plot_frame_attention"):
        plot = getattr(temporal_pictures, name)

        def called(
            *values: Any, _plot: Any = plot, _name: str = name, **options: Any
        ) -> Any:
            seen[_name] = (values, options)
            return _plot(*values, **options)

        monkeypatch.setattr(temporal_pictures, name, called)
    return seen


def module_of(task: str, **options: Any) -> RelationalModule:
    torch.manual_seed(0)
    small = {"hidden_channels": 4, "relation_channels": [4], "readout_channels": [4]}
    model = SpatioTemporalRelationNetwork(**{**small, **options})
    return RelationalModule(model, task)


def answers(module: RelationalModule, graph: Any) -> Tensor:
    return module(Batch.from_data_list([graph])).detach()


def test_forecasts_are_drawn_beside_what_came(tmp_path: Path, drawn: Any) -> None:
    data = PhysicalMotion(
        str(tmp_path), "test", num_masses=[3, 5], num_frames=8, horizon=3, **SIZES
    )
    module = module_of(
        "forecast",
        in_channels=4,
        out_channels=4,
        output="forecast",
        horizon=3,
        motion_dim=2,
    )
    (path,) = temporal_pictures.draw_temporal(tmp_path, module, data, [])
    assert path.name == "trajectories.png"
    assert path.read_bytes().startswith(PNG)
    (history, true, predicted), options = drawn["plot_trajectories"]
    graph = max(data, key=lambda graph: graph.num_nodes)
    assert torch.equal(history, graph.x[..., :2])
    assert torch.equal(true, graph.y[..., :2])
    assert torch.equal(predicted, answers(module, graph)[..., :2])
    assert options["unit"] is None


def test_interactions_are_drawn_with_their_probability(
    tmp_path: Path, drawn: Any
) -> None:
    data = PhysicalConnections(str(tmp_path), "test", num_frames=6, **SIZES)
    module = module_of("classification", in_channels=4, out_channels=2, output="pair")
    (path,) = temporal_pictures.draw_temporal(tmp_path, module, data, [])
    assert path.name == "interactions.png"
    (probability, truth, positions), options = drawn["plot_interactions"]
    expected = answers(module, data[0]).softmax(dim=1)[:, 1]
    torch.testing.assert_close(probability, expected)
    assert torch.equal(truth, data[0].y)
    assert torch.equal(positions, data[0].x[:, -1, :2])
    assert torch.equal(options["edge_index"], data[0].edge_label_index)


def test_weights_of_frames_are_drawn_with_the_question(
    tmp_path: Path, drawn: Any
) -> None:
    data = MovingShapes(str(tmp_path), "test", **SIZES)
    module = module_of("classification", in_channels=15, out_channels=2, u_dim=24)
    (path,) = temporal_pictures.draw_temporal(tmp_path, module, data, [])
    assert path.name == "frame-attention.png"
    (weights, mask, names), options = drawn["plot_frame_attention"]
    graph = max(data, key=lambda graph: graph.num_nodes)
    assert torch.equal(mask, graph.mask)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(graph.num_nodes))
    assert not weights[~mask].any()
    a, b, c = graph.asked[0].tolist()
    first, second = graph.touch_frame[0].tolist()
    expected = torch.zeros_like(mask)
    expected[[a, b], first] = True
    expected[[a, c], second] = True
    assert torch.equal(options["marked"], expected)
    assert names[a] == MovingShapes.COLOURS[int(graph.node_id[a])]
    asked = MovingShapes.question_text(graph.u[0])
    assert options["title"].startswith(asked)
    assert options["title"].endswith(f"right is {MovingShapes.ANSWERS[int(graph.y)]}")


def test_nothing_is_drawn_of_a_network_without_anything_to_show(
    tmp_path: Path,
) -> None:
    data = MovingShapes(str(tmp_path), "test", **SIZES)
    options = {"in_channels": 15, "out_channels": 2, "u_dim": 24, "readout": "last"}
    module = module_of("classification", **options)
    assert temporal_pictures.draw_temporal(tmp_path, module, data, []) == []


def test_pedestrians_have_a_unit() -> None:
    assert Pedestrians.UNIT == "m"
