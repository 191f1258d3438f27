import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.explain import AttentionExplainer, Explainer, GNNExplainer
from torch_geometric.nn import GATConv, GATv2Conv
from torch_geometric.utils import to_torch_csc_tensor

from pyg_relational.nn import PairwiseMLP, RelationAttentionConv
from pyg_relational.ops import fully_connected_edges, ptr_to_batch

PTR = torch.tensor([0, 3, 4, 9, 11])
BATCH = ptr_to_batch(PTR)
COMPLETE = fully_connected_edges(ptr=PTR)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
PYG = {"additive": GATConv, "mlp": GATv2Conv}
METHODS = {
    "additive": ["auto", "tiled", "sorted", "dense"],
    "mlp": ["auto", "tiled"],
    "dot": ["auto", "tiled", "dense"],
}


def given_edges() -> Tensor:
    """Some edges inside the sets, in no order; object 3 has none."""
    torch.manual_seed(1)
    edges = COMPLETE[:, torch.rand(COMPLETE.size(1)) < 0.6]
    edges = edges[:, edges[1] != 3]
    return edges[:, torch.randperm(edges.size(1))]


def same_parameters(
    conv: RelationAttentionConv, pyg: nn.Module
) -> list[tuple[Tensor, Tensor]]:
    """Which tensor of PyG's layer each parameter of ours stands for."""
    score = conv.attention.score
    if isinstance(pyg, GATConv):
        pairs = [
            (score.lin_l.weight, (pyg.lin_src if pyg.lin is None else pyg.lin).weight),
            (score.att_l, pyg.att_src[0]),
            (score.att_r, pyg.att_dst[0]),
        ]
        if score.lin_r is not None:
            pairs.append((score.lin_r.weight, pyg.lin_dst.weight))
        if pyg.lin_edge is not None:
            # [K * C, D] -> [K, C, D] -> [K, D]
            weight = pyg.lin_edge.weight.view(*pyg.att_edge.shape[1:], -1)
            composed = (weight * pyg.att_edge[0].unsqueeze(-1)).sum(dim=1)
            pairs.append((score.lin_edge.weight, composed))
    else:
        pairs = [(score.att, pyg.att[0])]
        for mine, theirs in ((score.lin_l, pyg.lin_l), (score.lin_r, pyg.lin_r)):
            pairs += [(mine.weight, theirs.weight), (mine.bias, theirs.bias)]
        if pyg.lin_edge is not None:
            pairs.append((score.lin_edge.weight, pyg.lin_edge.weight))
    if pyg.res is not None:
        pairs.append((conv.lin_residual.weight, pyg.res.weight))
    if pyg.bias is not None:
        pairs.append((conv.bias, pyg.bias))
    return pairs


def twins(
    score: str, dtype: torch.dtype, in_channels: int | tuple[int, int] = 4, **options
) -> tuple[RelationAttentionConv, nn.Module]:
    """Our layer and PyG's, with the same weights."""
    torch.manual_seed(0)
    pyg = PYG[score](in_channels, 3, 2, add_self_loops=False, **options).to(dtype)
    with torch.no_grad():
        for name, parameter in pyg.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    conv = RelationAttentionConv(in_channels, 3, 2, score, **options).to(dtype)
    pairs = same_parameters(conv, pyg)
    assert {id(mine) for mine, _ in pairs} == {id(p) for p in conv.parameters()}
    with torch.no_grad():
        for mine, theirs in pairs:
            mine.copy_(theirs)
    return conv, pyg


def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def assert_same_gradients(
    conv: RelationAttentionConv,
    pyg: nn.Module,
    out: Tensor,
    expected: Tensor,
    inputs: list[Tensor],
    tolerance: float,
) -> None:
    """Gradients of inputs and of every parameter, by the map between the layers."""
    weight = torch.randn_like(out)
    mine = [pair[0] for pair in same_parameters(conv, pyg)]
    gradients = torch.autograd.grad((out * weight).sum(), [*inputs, *mine])
    theirs = list(pyg.parameters())
    leaves = [*inputs, *theirs]
    raw = torch.autograd.grad((expected * weight).sum(), leaves)
    for x, a, b in zip(inputs, gradients, raw, strict=False):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
        assert x.shape == a.shape
        assert bool(a.any())
    # What PyG's parameters get, ours give: the map's transpose of our gradients.
    given = gradients[len(inputs) :]
    mapped = [pair[1] for pair in same_parameters(conv, pyg)]
    pulled = torch.autograd.grad(mapped, theirs, given)
    for a, b in zip(pulled, raw[len(inputs) :], strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
        assert bool(b.any())


def test_a_literal_set():
    conv = RelationAttentionConv(1, 1, bias=False)
    with torch.no_grad():
        conv.attention.score.lin_l.weight.fill_(2.0)
        conv.attention.score.att_l.fill_(0.5)
        conv.attention.score.att_r.fill_(-0.5)
    # With log 3 and 0: the scores are those of x_j - x_i, and values 2 x_j.
    x = torch.tensor([[3.0], [1.0]]).log()
    first = 2 * 1.0986123 / (1 + 3**-0.2)  # -log 3 leaks: weights 1 and 3^-0.2
    second = 2 * 1.0986123 * 3 / (3 + 1)  # weights 3 and 1
    for method in METHODS["additive"]:
        conv.method = method
        torch.testing.assert_close(conv(x), torch.tensor([[first], [second]]))
    assert str(conv) == (
        "RelationAttentionConv(RelationAttention((1, 1), 1, heads=1, "
        "score=AdditiveScore((1, 1), 1, heads=1), nn=None))"
    )


@pytest.mark.scatter
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("options", [{}, {"concat": False}, {"residual": True}])
@pytest.mark.parametrize("score", PYG)
def test_all_pairs_equal_the_layer_of_pyg_on_complete_edges(score, options, dtype):
    conv, pyg = twins(score, dtype, **options)
    x, close = normal(11, 4, dtype=dtype), {"rtol": TOLERANCE[dtype]}
    close["atol"] = TOLERANCE[dtype]
    expected, (_, weights) = pyg(x, COMPLETE, return_attention_weights=True)
    for method in METHODS[score]:
        conv.method = method
        out = conv(x, batch=BATCH)
        torch.testing.assert_close(out, expected, **close)
        expected = pyg(x, COMPLETE)
        assert_same_gradients(conv, pyg, out, expected, [x], TOLERANCE[dtype])
    out, (edges, alpha) = conv(x, batch=BATCH, return_attention_weights=True)
    assert torch.equal(edges, COMPLETE)
    torch.testing.assert_close(alpha, weights, **close)
    torch.testing.assert_close(out, expected, **close)


@pytest.mark.scatter
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("edge_dim", [None, 2])
@pytest.mark.parametrize("options", [{}, {"concat": False, "residual": True}])
@pytest.mark.parametrize("score", PYG)
def test_given_edges_equal_the_layer_of_pyg(score, options, edge_dim, dtype):
    conv, pyg = twins(score, dtype, edge_dim=edge_dim, **options)
    x, edges, tolerance = normal(11, 4, dtype=dtype), given_edges(), TOLERANCE[dtype]
    inputs = [x]
    if edge_dim is not None:
        inputs.append(normal(edges.size(1), edge_dim, dtype=dtype))
    run = (x, edges, *inputs[1:])
    expected, (_, weights) = pyg(*run, return_attention_weights=True)
    out, (same, alpha) = conv(*run, batch=BATCH, return_attention_weights=True)
    assert same is edges
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(alpha, weights, rtol=tolerance, atol=tolerance)
    out, expected = conv(*run), pyg(*run)
    assert_same_gradients(conv, pyg, out, expected, inputs, tolerance)


@pytest.mark.scatter
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("options", [{}, {"concat": False, "residual": True}])
@pytest.mark.parametrize("score", PYG)
def test_sources_and_targets_equal_the_layer_of_pyg(score, options, dtype):
    conv, pyg = twins(score, dtype, (4, 5), **options)
    x = normal(11, 4, dtype=dtype), normal(6, 5, dtype=dtype)
    ptr, tolerance = torch.tensor([0, 2, 4, 4, 6]), TOLERANCE[dtype]
    batch = BATCH, ptr_to_batch(ptr)
    edges = fully_connected_edges(ptr=ptr, source_ptr=PTR)
    expected, (_, weights) = pyg(x, edges, return_attention_weights=True)
    for method in METHODS[score]:
        conv.method = method
        out = conv(x, batch=batch)
        torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)
        expected = pyg(x, edges)
        assert_same_gradients(conv, pyg, out, expected, [*x], tolerance)
    out, (same, alpha) = conv(x, batch=batch, return_attention_weights=True)
    assert torch.equal(same, edges)
    torch.testing.assert_close(alpha, weights, rtol=tolerance, atol=tolerance)
    some = edges[:, [9, 0, 2, 3, 11, 4, 5, 6, 8]]
    out, expected = conv(x, some), pyg(x, some)
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)
    assert_same_gradients(conv, pyg, out, expected, [*x], tolerance)


@pytest.mark.scatter
@pytest.mark.parametrize("score", PYG)
def test_two_kinds_of_objects_of_one_width_may_share_a_layer(score):
    conv, pyg = twins(score, torch.float64)
    x = normal(11, 4), normal(6, 4)
    ptr = torch.tensor([0, 2, 4, 4, 6])
    edges = fully_connected_edges(ptr=ptr, source_ptr=PTR)
    out = conv(x, batch=(BATCH, ptr_to_batch(ptr)))
    torch.testing.assert_close(out, pyg(x, edges), rtol=1e-10, atol=1e-10)
    # Objects and copies of them are sources and targets of the same sets.
    x = x[0], x[0].clone()
    out = conv(x, batch=BATCH)
    torch.testing.assert_close(out, pyg(x[0], COMPLETE), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("method", METHODS["dot"])
def test_dot_products_equal_pytorch(method, dtype):
    torch.manual_seed(0)
    conv = RelationAttentionConv(4, 3, 2, "dot", method=method, residual=True)
    conv = conv.to(dtype)
    score, x = conv.attention.score, normal(11, 4, dtype=dtype)
    with torch.no_grad():
        conv.bias.normal_()
    rows = []
    for part in x.split(PTR.diff().tolist()):
        # [n, K * C] -> [K, n, C]
        q, k, v = (
            lin(part).view(-1, 2, 3).transpose(0, 1)
            for lin in (score.lin_r, score.lin_l, score.lin_value)
        )
        out = F.scaled_dot_product_attention(q, k, v)
        rows.append(out.transpose(0, 1).flatten(1))
    expected = torch.cat(rows) + x @ conv.lin_residual.weight.t() + conv.bias
    out, leaves = conv(x, batch=BATCH), [x, *conv.parameters()]
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(out, expected, **tolerance)
    weight = torch.randn_like(out)
    mine = torch.autograd.grad((out * weight).sum(), leaves)
    theirs = torch.autograd.grad((expected * weight).sum(), leaves)
    torch.testing.assert_close(mine, theirs, **tolerance)


@pytest.mark.scatter
@pytest.mark.filterwarnings("ignore:Sparse .*:UserWarning")
@pytest.mark.parametrize("self_pairs", [True, False])
@pytest.mark.parametrize("relation", [False, True])
@pytest.mark.parametrize("score", METHODS)
def test_all_methods_and_listed_pairs_agree(score, relation, self_pairs):
    torch.manual_seed(0)
    g = PairwiseMLP(4, [5, 6], u_dim=2) if relation else None
    conv = RelationAttentionConv(
        4, 3, 2, score, g, u_dim=2, self_pairs=self_pairs
    ).double()
    x, u = normal(11, 4), normal(4, 2)
    inputs = {"x": x, "u": u, "batch": BATCH}
    edges = fully_connected_edges(ptr=PTR, self_pairs=self_pairs)
    shuffled = edges[:, torch.randperm(edges.size(1))]
    index = EdgeIndex(edges, sparse_size=(11, 11), sort_order="col")
    outputs = {"edges": conv(edge_index=edges, **inputs)}
    outputs["shuffled"] = conv(edge_index=shuffled, **inputs)
    outputs["index"] = conv(edge_index=index, **inputs)
    outputs["sparse"] = conv(
        edge_index=to_torch_csc_tensor(edges, size=(11, 11)).t(), **inputs
    )
    outputs["weights"] = conv(return_attention_weights=True, **inputs)[0]
    only_tiled = relation or not self_pairs
    for method in ["auto", "tiled"] if only_tiled else METHODS[score]:
        conv.method = method
        outputs[method] = conv(**inputs)
    leaves, weight = [x, u, *conv.parameters()], torch.randn(11, 6).double()
    expected = torch.autograd.grad((outputs["edges"] * weight).sum(), leaves)
    for name, out in outputs.items():
        torch.testing.assert_close(
            out, outputs["edges"], rtol=1e-10, atol=1e-10, msg=lambda m, n=name: n + m
        )
        if name != "edges":
            mine = torch.autograd.grad((out * weight).sum(), leaves)
            torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-9)
    assert outputs["edges"].unique(dim=0).size(0) > 8


@pytest.mark.scatter
@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("score", METHODS)
def test_weights_of_a_target_sum_to_one(score, edges):
    torch.manual_seed(0)
    conv = RelationAttentionConv(4, 3, 2, score, self_pairs=False)
    x, edge_index = torch.randn(11, 4), given_edges() if edges else None
    out, (pairs, alpha) = conv(
        x, edge_index, batch=BATCH, return_attention_weights=True
    )
    assert alpha.shape == (pairs.size(1), 2)
    assert bool((alpha > 0).all())
    sums = torch.zeros(11, 2).index_add(0, pairs[1], alpha)
    met = torch.zeros(11).index_add(0, pairs[1], torch.ones(pairs.size(1))) > 0
    assert int(met.sum()) == 10  # object 3 is alone
    torch.testing.assert_close(sums, met[:, None].expand(-1, 2).float())
    assert not out[3].any()
    if not edges:
        assert torch.equal(pairs, fully_connected_edges(ptr=PTR, self_pairs=False))


@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("score", METHODS)
def test_weights_are_returned_only_if_asked_for(score, edges):
    torch.manual_seed(0)
    conv = RelationAttentionConv(4, 3, score=score)
    x, edge_index = torch.randn(11, 4), given_edges() if edges else None
    run = {"edge_index": edge_index, "batch": BATCH}
    plain = conv(x, **run)
    assert plain.shape == (11, 3)
    assert torch.equal(conv(x, return_attention_weights=False, **run), plain)
    assert torch.equal(conv(x, return_attention_weights=None, **run), plain)
    out, (pairs, alpha) = conv(x, return_attention_weights=True, **run)
    torch.testing.assert_close(out, plain)
    assert alpha.shape == (pairs.size(1), 1)


@pytest.mark.scatter
@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("score", METHODS)
def test_dropout_drops_weights_in_training_only(score, edges):
    torch.manual_seed(0)
    plain = RelationAttentionConv(4, 3, 2, score)
    conv = RelationAttentionConv(4, 3, 2, score, dropout=0.3)
    conv.load_state_dict(plain.state_dict())
    x = torch.randn(11, 4)
    run = {"edge_index": COMPLETE if edges else None, "batch": BATCH}
    expected = plain(x, **run)
    torch.testing.assert_close(conv.eval()(x, **run), expected)
    conv.train()
    # Copies of the batch drop weights of their own, and so do seeds.
    seeds, copies = 10, 60
    many = {"batch": (torch.arange(copies)[:, None] * 4 + BATCH).flatten()}
    if edges:
        shift = 11 * torch.arange(copies)[:, None, None]
        many["edge_index"] = (COMPLETE + shift).transpose(0, 1).flatten(1)
    outs = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        outs.append(conv(x.repeat(copies, 1), **many).detach())
    # [S * copies, N, K * C]
    outs = torch.cat(outs).view(-1, 11, 6)
    assert outs.unique(dim=0).size(0) == seeds * copies
    error = outs.std(dim=0) / (seeds * copies) ** 0.5
    assert bool((error > 0).all())
    assert bool(((outs.mean(dim=0) - expected).abs() < 5 * error).all())
    # Object 3 is on its own: each head hears it, scaled up, or nothing.
    heard = torch.isclose(outs[:, 3], expected[3] / 0.7)
    silent = outs[:, 3] == 0
    assert bool((heard | silent).all())
    assert silent.float().mean() == pytest.approx(0.3, abs=0.07)
    assert bool((silent[:, 0] != silent[:, 3]).any())
    # The weights that are returned are those before dropout.
    out, (_, alpha) = conv(x, return_attention_weights=True, **run)
    assert not torch.allclose(out, expected)
    _, (_, whole) = plain(x, return_attention_weights=True, **run)
    torch.testing.assert_close(alpha, whole)


def test_dropout_follows_the_seed():
    conv = RelationAttentionConv(4, 3, 2, "mlp", dropout=0.5)
    x = torch.randn(11, 4)
    torch.manual_seed(0)
    first = conv(x, batch=BATCH)
    torch.manual_seed(0)
    assert torch.equal(conv(x, batch=BATCH), first)
    assert not torch.equal(conv(x, batch=BATCH), first)


class Classifier(nn.Module):
    def __init__(self, score: str) -> None:
        super().__init__()
        self.first = RelationAttentionConv(4, 3, 2, score)
        g = PairwiseMLP(6, [8, 4], act="tanh", plain_last=True)
        self.second = RelationAttentionConv(6, 2, 2, score, g, concat=False)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.second(self.first(x, edge_index).relu(), edge_index)


def explainer(model: nn.Module, algorithm: object, **kwargs: object) -> Explainer:
    return Explainer(
        model,
        algorithm,
        explanation_type="model",
        edge_mask_type="object",
        model_config={
            "mode": "multiclass_classification",
            "task_level": "graph",
            "return_type": "raw",
        },
        **kwargs,
    )


@pytest.mark.scatter
@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("score", METHODS)
def test_the_attention_explainer_of_pyg_sees_the_weights(score, reduce):
    torch.manual_seed(0)
    model, x, edges = Classifier(score).eval(), torch.randn(11, 4), given_edges()
    explain = explainer(model, AttentionExplainer(reduce))
    mask = explain(x, edges).edge_mask
    h, (_, first) = model.first(x, edges, return_attention_weights=True)
    _, (_, second) = model.second(h.relu(), edges, return_attention_weights=True)
    # Over the heads of both layers, of which there are two each.
    alpha = torch.cat([first, second], dim=1).detach()
    expected = alpha.amax(dim=1) if reduce == "max" else alpha.mean(dim=1)
    torch.testing.assert_close(mask, expected)


@pytest.mark.scatter
@pytest.mark.parametrize("score", METHODS)
def test_the_gnn_explainer_of_pyg_masks_messages(score):
    torch.manual_seed(0)
    model, x, edges = Classifier(score).eval(), torch.randn(11, 4), given_edges()
    before = model(x, edges)
    explain = explainer(model, GNNExplainer(epochs=5), node_mask_type="attributes")
    explanation = explain(x, edges)
    assert explanation.edge_mask.shape == (edges.size(1),)
    # Where a message counts for nothing, the explainer leaves a zero.
    assert bool((explanation.edge_mask > 0).all())
    assert bool((explanation.edge_mask < 1).all())
    assert explanation.node_mask.shape == x.shape
    assert torch.equal(model(x, edges), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "aditive"}, "'score' must be .*did you mean 'additive'"),
        ({"score": "mpl"}, "'score' must be one of 'additive', 'mlp', 'dot'"),
        ({"dropout": 1.0}, r"'dropout' must be from 0 to less than 1 \(got 1.0\)"),
        ({"dropout": -0.1}, r"'dropout' must be from 0 to less than 1 \(got -0.1"),
        ({"heads": 0}, r"'heads' must be at least 1 \(got 0\)"),
        ({"method": "tilde"}, "'method' must be .*did you mean 'tiled'"),
        (
            {"score": "mlp", "method": "sorted"},
            r"'method' must be one of 'auto', 'tiled' \(got 'sorted'\)",
        ),
        (
            {"score": "dot", "method": "sorted"},
            r"'method' must be one of 'auto', 'tiled', 'dense' \(got 'sorted'\)",
        ),
        ({"nn": PairwiseMLP(4, [5])}, "'nn' must have 'out_channels=6'.*got 5"),
        ({"nn": PairwiseMLP(3, [6])}, r"'nn' must have 'in_channels=\(4, 4\)'"),
        (
            {"nn": PairwiseMLP(4, [6], edge_dim=2)},
            "'nn' must have 'edge_dim=None'.*got 2",
        ),
        ({"nn": PairwiseMLP(4, [6]), "edge_dim": 2}, "'nn' must have 'edge_dim=2'"),
        ({"nn": PairwiseMLP(4, [6]), "u_dim": 2}, "'nn' must have 'u_dim=2'"),
    ],
)
def test_bad_options_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        RelationAttentionConv(4, 3, **{"heads": 2, **options})


@pytest.mark.parametrize(
    ("score", "method"),
    [("additive", "sorted"), ("additive", "dense"), ("dot", "dense")],
)
def test_a_forced_method_says_which_can(score, method):
    x = torch.randn(3, 4)

    def build(**options):
        return RelationAttentionConv(4, 3, 2, score, method=method, **options)

    cases = {
        "a relation 'nn'": build(nn=PairwiseMLP(4, [6])),
        "'dropout'": build(dropout=0.5),
        "'self_pairs=False'": build(self_pairs=False),
        "'dropout' and 'self_pairs=False'": build(dropout=0.5, self_pairs=False),
    }
    for reason, conv in cases.items():
        message = f"'method='{method}'' cannot compute {reason}; method='tiled' can"
        with pytest.raises(ValueError, match=message):
            conv(x)
        conv.method = "tiled"
        conv(x)
    # Dropout is only in the way where it drops.
    conv = cases["'dropout'"].eval()
    conv.method = method
    conv(x)


@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": torch.zeros(3, 5)}, "'x' must have 4 features"),
        ({"x": torch.full((3, 4), float("nan"))}, "'x' must be finite"),
        ({"x": torch.zeros(3, 4).long()}, "'x' must be floating point"),
        ({"x": (torch.zeros(2, 4), torch.zeros(3, 5))}, "'x' must have 4 features"),
        ({"batch": torch.tensor([1, 0, 1])}, "'batch' must be sorted"),
        ({"batch": torch.tensor([0, 1])}, "each of the 3 rows"),
        ({"batch_size": 2}, "'batch' is missing"),
        ({"u": None}, "'u' is missing"),
        ({"u": torch.zeros(1, 3)}, "'u' must have 2 features"),
        ({"u": torch.zeros(2, 2)}, "'batch' is missing; 'batch_size=2'"),
        (
            {"u": torch.zeros(2, 2), "batch": torch.tensor([0, 1, 2])},
            "'batch' names set 2, but 'batch_size' is 2",
        ),
        (
            {"u": torch.zeros(2, 2), "batch_size": 1},
            r"'u' must have one row per set \(got 2 rows for 1 sets\)",
        ),
    ],
)
def test_bad_input_names_the_argument(arguments, message, edges):
    conv = RelationAttentionConv(4, 3, 2, u_dim=2)
    arguments = {"x": torch.zeros(3, 4), "u": torch.zeros(1, 2)} | arguments
    if edges:
        arguments["edge_index"] = torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match=message):
        conv(**arguments)


@pytest.mark.parametrize("method", ["auto", "tiled", "dense"])
@pytest.mark.parametrize("score", ["additive", "dot"])
def test_edge_features_need_edges(score, method):
    x, edges = torch.zeros(3, 4), torch.tensor([[0, 1], [1, 0]])
    conv = RelationAttentionConv(4, 3, 2, score, edge_dim=2, method=method)
    with pytest.raises(ValueError, match="'edge_attr' needs 'edge_index'"):
        conv(x, edge_attr=torch.zeros(9, 2))
    for arguments in ({}, {"return_attention_weights": True}, {"edge_index": edges}):
        with pytest.raises(ValueError, match=r"'edge_attr' is missing.*'edge_dim=2'"):
            conv(x, **arguments)
    with pytest.raises(ValueError, match="'edge_attr' must have 2 features"):
        conv(x, edges, torch.zeros(2, 3))
    conv = RelationAttentionConv(4, 3, 2, score)
    with pytest.raises(ValueError, match=r"'edge_attr' was given .*'edge_dim=2'"):
        conv(x, edges, torch.zeros(2, 2))


def test_leaving_out_self_pairs_needs_the_same_sets():
    conv = RelationAttentionConv(4, 3, self_pairs=False)
    for weights in (False, True):
        with pytest.raises(ValueError, match="'self_pairs=False' needs targets"):
            conv(
                (torch.zeros(2, 4), torch.zeros(3, 4)), return_attention_weights=weights
            )
