import importlib
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pyg_relational.ops import additive_attention, dot_attention, pair_attention
from pyg_relational.ops.kernels import ACTIVATIONS

HEADS, CHANNELS = 2, 3
MODULE = importlib.import_module("pyg_relational.ops.pair_attention")


def pointers(sizes: list[int]) -> Tensor:
    return torch.tensor([0, *sizes]).cumsum(0)


def normal(generator: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
    x = scale * torch.randn(*shape, generator=generator, dtype=torch.float64)
    return x.requires_grad_()


def act(name: str, x: Tensor, slope: float) -> Tensor:
    return ACTIVATIONS[name].forward_(x.clone(), slope)


def naive(
    target, source, value, target_ptr, source_ptr, *, heads, score="mlp",
    score_layers=(), score_slope=0.2, target_value=None, value_layers=(), act_="relu",
    negative_slope=0.01, plain_last=False, self_pairs=True,
):  # fmt: skip
    """The definition, pair by pair."""
    rows, log_sums = [], []
    for s in range(target_ptr.numel() - 1):
        for i in range(target_ptr[s], target_ptr[s + 1]):
            scores, values = [], []
            for j in range(source_ptr[s], source_ptr[s + 1]):
                if not self_pairs and i == j:
                    continue
                if score == "dot":
                    q, k = (x.view(heads, -1) for x in (target[i], source[j]))
                    scores.append((q * k).sum(-1) / q.size(1) ** 0.5)
                else:
                    h = torch.nn.functional.leaky_relu(
                        target[i] + source[j], score_slope
                    )
                    for n, (weight, bias) in enumerate(score_layers):
                        if n:
                            h = torch.nn.functional.leaky_relu(h, score_slope)
                        h = weight @ h + (0 if bias is None else bias)
                    scores.append(h)
                v = value[j]
                if target_value is not None:
                    v = target_value[i] + v
                    for weight, bias in value_layers:
                        v = act(act_, v, negative_slope)
                        v = weight @ v + (0 if bias is None else bias)
                    if not plain_last:
                        v = act(act_, v, negative_slope)
                values.append(v.view(heads, -1))
            if not scores:
                out = value_layers[-1][0].size(0) if value_layers else value.size(1)
                rows.append(value.new_zeros(out))
                least = torch.finfo(value.dtype).min
                log_sums.append(value.new_full((heads,), least))
                continue
            e = torch.stack(scores)
            alpha = e.softmax(0).unsqueeze(-1)
            rows.append((alpha * torch.stack(values)).sum(0).flatten())
            log_sums.append(e.logsumexp(0))
    return torch.stack(rows), torch.stack(log_sums)


def case(kind: str, rows: str, n: int, m: int, seed: int, scale: float = 1.0):
    """Inputs for one kind of score and one kind of value."""
    g = torch.Generator().manual_seed(seed)
    width = {"additive": HEADS, "mlp": 5, "deep": 5, "dot": HEADS * CHANNELS}[kind]
    tensors = [normal(g, n, width, scale=scale), normal(g, m, width, scale=scale)]
    options = {"heads": HEADS}
    if kind == "dot":
        options["score"] = "dot"
    if kind in ("mlp", "deep"):
        layers = [(normal(g, HEADS, 5), None)]
        if kind == "deep":
            layers = [(normal(g, 5, 5), normal(g, 5)), (normal(g, HEADS, 5), None)]
        options["score_layers"] = layers
    out = HEADS * CHANNELS
    if rows == "rows":
        tensors.append(normal(g, m, out))
    else:
        tensors.append(normal(g, m, 4))
        options["target_value"] = normal(g, n, 4)
        options["value_layers"] = [(normal(g, out, 4), normal(g, out))]
    leaves = [*tensors]
    for layers in (options.get("score_layers", ()), options.get("value_layers", ())):
        leaves += [x for layer in layers for x in layer if x is not None]
    if "target_value" in options:
        leaves.append(options["target_value"])
    return tensors, options, leaves


def gradients(outputs, leaves) -> list[Tensor]:
    out, log_sum = outputs
    some = log_sum > torch.finfo(log_sum.dtype).min
    loss = out.sin().sum() + log_sum[some].cos().sum()
    loss = loss + sum(0.0 * leaf.sum() for leaf in leaves)  # none may be unused
    return torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("kind", ["additive", "mlp", "deep", "dot"])
@pytest.mark.parametrize("rows", ["rows", "relation"])
@pytest.mark.parametrize("tile", [7, 10_000])
def test_equals_the_definition(kind, rows, tile, monkeypatch) -> None:
    # Tiles of seven pairs cut sets and targets in the middle.
    monkeypatch.setattr(MODULE, "tile_size", lambda *_: tile)
    target_ptr, source_ptr = pointers([3, 0, 1, 6, 2]), pointers([4, 2, 1, 5, 0])
    tensors, options, leaves = case(kind, rows, 12, 12, seed=0, scale=3.0)
    pointer = target_ptr, source_ptr
    mine = pair_attention(*tensors, *pointer, **options)
    expected = naive(*tensors, *pointer, **options)
    torch.testing.assert_close(mine, expected, rtol=1e-10, atol=1e-10)
    for a, b in zip(gradients(mine, leaves), gradients(expected, leaves), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=5),
    kind=st.sampled_from(["additive", "mlp", "deep", "dot"]),
    rows=st.sampled_from(["rows", "relation"]),
    self_pairs=st.booleans(),
    scale=st.sampled_from([1e-3, 1.0, 80.0]),
    seed=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_ragged_sets(sizes, kind, rows, self_pairs, scale, seed) -> None:
    ptr, total = pointers(sizes), sum(sizes)
    if total == 0:
        return
    tensors, options, leaves = case(kind, rows, total, total, seed, scale)
    options["self_pairs"] = self_pairs
    mine = pair_attention(*tensors, ptr, ptr, **options)
    expected = naive(*tensors, ptr, ptr, **options)
    torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-9)
    for a, b in zip(gradients(mine, leaves), gradients(expected, leaves), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7 * max(1, scale))


def test_equals_the_sorted_operator() -> None:
    tensors, options, _ = case("additive", "rows", 40, 40, seed=1)
    ptr = pointers([25, 15])
    out, _ = pair_attention(*tensors, ptr, ptr, **options)
    s, t, v = tensors
    expected = additive_attention(
        s, t, v.view(-1, HEADS, CHANNELS), ptr, ptr, method="sorted"
    )
    torch.testing.assert_close(out, expected.flatten(1), rtol=1e-10, atol=1e-10)


def test_gradcheck() -> None:
    tensors, options, leaves = case("mlp", "relation", 5, 5, seed=2)
    ptr = pointers([3, 2])
    assert torch.autograd.gradcheck(
        lambda *_: pair_attention(*tensors, ptr, ptr, **options), leaves
    )


def test_dropout_keeps_the_mean_and_the_gradient_of_what_it_kept() -> None:
    tensors, options, leaves = case("additive", "rows", 6, 6, seed=3)
    ptr = pointers([6])
    dropped = []
    for seed in range(2000):
        torch.manual_seed(seed)
        out, _ = pair_attention(*tensors, ptr, ptr, dropout=0.4, **options)
        dropped.append(out.detach())
    full, _ = pair_attention(*tensors, ptr, ptr, **options)
    torch.testing.assert_close(torch.stack(dropped).mean(0), full, rtol=0, atol=0.08)

    def run(*_: Tensor) -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        return pair_attention(*tensors, ptr, ptr, dropout=0.4, **options)

    assert not torch.equal(run()[0], full)
    # Central differences see the same weights dropped as the backward pass.
    assert torch.autograd.gradcheck(run, leaves)


def test_infinite_scores_propagate_as_over_pairs() -> None:
    tensors, options, _ = case("additive", "rows", 3, 3, seed=4)
    source = tensors[1].detach().clone()
    source[1, 0] = torch.inf
    ptr = pointers([3])
    mine, _ = pair_attention(tensors[0], source, tensors[2], ptr, ptr, **options)
    expected, _ = naive(tensors[0], source, tensors[2], ptr, ptr, **options)
    assert bool(mine.isnan().any())
    torch.testing.assert_close(mine, expected, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_is_near(dtype) -> None:
    tensors, options, _ = case("dot", "rows", 9, 9, seed=5)
    ptr = pointers([4, 5])
    expected, _ = pair_attention(*tensors, ptr, ptr, **options)
    low = [x.to(dtype) for x in tensors]
    out, log_sum = pair_attention(*low, ptr, ptr, **options)
    assert out.dtype == dtype
    assert log_sum.dtype == torch.float32
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(out.double(), expected, rtol=tolerance, atol=tolerance)


def test_log_sums_without_sources_are_finite_in_low_precision() -> None:
    # The least float32 is infinite in bfloat16, and a softmax over infinities is not
    # a number.
    tensors, options, _ = case("dot", "rows", 4, 4, seed=5)
    ptr = pointers([1, 3])
    low = [x.bfloat16() for x in tensors]
    out, log_sum = pair_attention(*low, ptr, ptr, self_pairs=False, **options)
    assert log_sum[0].tolist() == [torch.finfo(torch.float32).min] * 2
    assert bool((out[0] == 0).all())
    assert bool(log_sum[1:].abs().max() < 100)


def test_dot_attention_equals_the_definition() -> None:
    tensors, options, leaves = case("dot", "rows", 12, 12, seed=6)
    pointer = pointers([3, 0, 1, 6, 2]), pointers([4, 2, 1, 5, 0])
    expected, _ = naive(*tensors, *pointer, **options)
    q, k, v = (x.view(-1, HEADS, CHANNELS) for x in tensors)
    out = dot_attention(q, k, v, *pointer).flatten(1)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)
    mine = torch.autograd.grad(out.sin().sum(), leaves)
    theirs = torch.autograd.grad(expected.sin().sum(), leaves)
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_compiles_into_one_graph(seed) -> None:
    torch.compiler.reset()
    tensors, options, leaves = case("mlp", "relation", 6, 6, seed)
    ptr = pointers([2, 4])

    def run() -> tuple[Tensor, Tensor]:
        return pair_attention(*tensors, ptr, ptr, **options)

    expected = gradients(run(), leaves)
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(), run())
    torch.testing.assert_close(gradients(compiled(), leaves), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": "cosine"}, "'score' must be one of"),
        ({"heads": 0}, "'heads' must be at least 1"),
        ({"heads": 3}, "one score for each of 'heads=3'"),
        ({"dropout": 1.0}, "'dropout' must be from 0"),
        ({"score_slope": -1.0}, "'score_slope' must be at least 0"),
        ({"value_layers": [(torch.eye(6).double(), None)]}, "needs 'target_value'"),
        ({"target_value": torch.zeros(3, 5).double()}, "the width of 'value'"),
        ({"target_value": torch.zeros(2, 6).double()}, "floating point of shape [3"),
        ({"score_layers": [(torch.zeros(2, 9).double(), None)]}, "score_layers[0]"),
        ({"act": "swish"}, "'act' must be one of"),
    ],
)
def test_bad_input(change, message) -> None:
    tensors, options, _ = case("additive", "rows", 3, 3, seed=0)
    with pytest.raises(ValueError, match=re.escape(message)):
        pair_attention(*tensors, **{**options, **change})


def test_no_self_pairs_needs_the_same_sets() -> None:
    tensors, options, _ = case("additive", "rows", 3, 3, seed=0)
    with pytest.raises(ValueError, match="self_pairs=False"):
        pair_attention(
            *tensors, pointers([1, 2]), pointers([2, 1]), self_pairs=False, **options
        )


def test_memory_does_not_grow_with_pairs() -> None:
    # Saved for the backward pass: rows, not pairs.
    tensors, options, _ = case("mlp", "rows", 400, 400, seed=0)
    saved: list[int] = []

    def pack(x: Tensor) -> Tensor:
        saved.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        pair_attention(*tensors, **options)
    assert sum(saved) < 400 * 40
