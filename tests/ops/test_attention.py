import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import leaky_relu
from torch_geometric.utils import softmax

from pyg_relational.ops.additive_attention import additive_attention

METHODS = ["auto", "sorted", "dense"]


def double_loop(s, t, v, target_ptr, source_ptr, slope):
    # An empty sum keeps the inputs in the graph of a result without pairs.
    nothing = v.new_zeros(s.size(0), *v.shape[1:])
    nothing = nothing + s[:0].sum() + t[:0].sum() + v[:0].sum()
    rows = [*nothing]
    for b in range(target_ptr.numel() - 1):
        sources = range(int(source_ptr[b]), int(source_ptr[b + 1]))
        for i in range(int(target_ptr[b]), int(target_ptr[b + 1])):
            if sources:
                score = torch.stack([leaky_relu(s[i] + t[j], slope) for j in sources])
                alpha = score.softmax(dim=0).unsqueeze(-1)
                rows[i] = sum(alpha[at] * v[j] for at, j in enumerate(sources))
    return torch.stack(rows) if rows else nothing


def ragged(sizes, heads=2, channels=3, scale=1.0, seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    n, m = (torch.tensor([0, *side]).cumsum(0) for side in zip(*sizes, strict=True))
    s = torch.randn(int(n[-1]), heads, dtype=dtype) * scale
    t = torch.randn(int(m[-1]), heads, dtype=dtype) * scale
    v = torch.randn(int(m[-1]), heads, channels, dtype=dtype)
    return s, t, v, n, m


def run(function, inputs, grad, dtype=None, **kwargs):
    x = [y.detach().to(dtype or y.dtype).clone().requires_grad_() for y in inputs[:3]]
    out = function(*x, *inputs[3:], **kwargs)
    grads = torch.autograd.grad(out, x, grad.to(out.dtype))
    return [out.detach().double(), *(g.double() for g in grads)]


def assert_close(actual, expected, tol, unit=0.0):
    for a, e in zip(actual, expected, strict=True):
        scale = float(e.abs().max()) if e.numel() else 0.0
        torch.testing.assert_close(a, e, rtol=tol, atol=tol * max(scale, unit))


def assert_equals_loop(inputs, method, slope=0.2):
    grad = torch.randn(inputs[0].size(0), *inputs[2].shape[1:], dtype=torch.float64)
    # Round first, so that both precisions see the same numbers.
    inputs = (*(x.float().double() for x in inputs[:3]), *inputs[3:])
    grad = grad.float().double()
    expected = run(double_loop, inputs, grad, slope=slope)
    # A score's gradient is a difference of numbers of this size, in the loop as well.
    unit = max(
        (float(x.abs().max()) for x in (grad, inputs[2]) if x.numel()), default=0
    )
    kwargs = {"negative_slope": slope, "method": method}
    double = run(additive_attention, inputs, grad, **kwargs)
    assert_close(double, expected, 1e-10, unit)
    single = run(additive_attention, inputs, grad, torch.float32, **kwargs)
    assert_close(single, expected, 1e-5, unit)


SIZES = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 9)), min_size=1, max_size=4
)


@settings(max_examples=40, deadline=None)
@given(
    sizes=SIZES,
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.0, 1e-30, 1.0, 30.0, 80.0, 1e5]),
    ties=st.booleans(),
    slope=st.sampled_from([0.0, 0.2, 1.0]),
    method=st.sampled_from(METHODS),
)
def test_equals_double_loop(sizes, seed, scale, ties, slope, method):
    s, t, v, n, m = ragged(sizes, seed=seed, scale=scale)
    if ties:
        step = max(scale, 1e-30)
        s, t = (s / step).round() * step, (t / step).round() * step
    assert_equals_loop((s, t, v, n, m), method, slope)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sizes", [[(30, 200)], [(1, 130), (90, 1), (20, 100)]])
def test_equals_double_loop_on_large_sets(sizes, method):
    inputs = ragged(sizes, heads=1, scale=4.0)
    assert_equals_loop(inputs, method)


@pytest.mark.parametrize("method", METHODS)
def test_values_of_very_different_magnitude(method):
    s, t, v, n, m = ragged([(9, 8), (5, 6)], scale=3.0)
    assert_equals_loop((s, t, v * 10.0 ** torch.arange(-6, 22, 2)[:14, None, None],
                        n, m), method)  # fmt: skip


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_extreme_slopes_on_padded_sets(slope):
    assert_equals_loop(ragged([(3, 5), (4, 7), (4, 8)]), "sorted", slope)


@pytest.mark.parametrize("method", ["dense", "auto"])
@pytest.mark.parametrize("slope", [-0.5, 1.5])
def test_any_slope_without_order(method, slope):
    assert_equals_loop(ragged([(4, 5), (2, 3)]), method, slope)


@pytest.mark.parametrize("method", METHODS)
def test_equals_pyg_attention_on_complete_edges(method):
    s, t, v, _, _ = ragged([(40, 30)], heads=4, channels=5)
    target = torch.arange(40).repeat_interleave(30)
    source = torch.arange(30).repeat(40)
    alpha = softmax(leaky_relu(s[target] + t[source], 0.2), target, num_nodes=40)
    expected = torch.zeros(40, 4, 5, dtype=v.dtype)
    expected.index_add_(0, target, alpha.unsqueeze(-1) * v[source])
    out = additive_attention(s, t, v, method=method)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_weights_sum_to_one(method):
    s, t, _, n, m = ragged([(100, 300), (3, 2)], scale=50.0, dtype=torch.float32)
    ones = torch.ones(302, 2, 3)
    out = additive_attention(s, t, ones, n, m, method=method)
    torch.testing.assert_close(out, torch.ones(103, 2, 3), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("method", ["sorted", "dense"])
def test_gradcheck(method):
    s, t, v, n, m = ragged([(3, 4), (0, 2), (2, 0), (1, 1), (4, 3)])
    x = [y.requires_grad_() for y in (s, t, v)]
    assert torch.autograd.gradcheck(
        lambda *x: additive_attention(*x, n, m, method=method), x
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_set_does_not_see_another(method):
    s, t, v, n, m = ragged([(70, 80), (3, 5), (75, 70)], dtype=torch.float32)
    grad = torch.randn(148, 2, 3)
    before = run(additive_attention, (s, t, v, n, m), grad, method=method)
    t, v = t.clone(), v.clone()
    t[80:85], v[80:85] = 1e4, 1e30
    after = run(additive_attention, (s, t, v, n, m), grad, method=method)
    targets, sources = torch.ones(148).bool(), torch.ones(155).bool()
    targets[70:73], sources[80:85] = False, False
    for mask, a, b in zip([targets, targets, sources, sources], before, after,
                          strict=True):  # fmt: skip
        assert torch.equal(a[mask], b[mask])


@pytest.mark.parametrize("where", ["target_score", "source_score", "value", "grad"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_values_propagate_as_in_the_pairs(where, bad):
    s, t, v, n, m = ragged([(4, 3), (2, 5)])
    grad = torch.randn(6, 2, 3, dtype=torch.float64)
    names = {"target_score": s, "source_score": t, "value": v, "grad": grad}
    names[where][1, 0] = bad
    expected = run(double_loop, (s, t, v, n, m), grad, slope=0.2)
    actual = run(additive_attention, (s, t, v, n, m), grad, method="sorted")
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e, equal_nan=True)


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_computes_in_float32(method):
    x = ragged([(50, 200), (6, 4)], dtype=torch.bfloat16)
    grad = torch.randn(56, 2, 3).bfloat16()
    out = additive_attention(*x, method=method)
    assert out.dtype == torch.bfloat16
    actual = run(additive_attention, x, grad, method=method)
    expected = run(additive_attention, x, grad, torch.float64, method="dense")
    assert_close(actual, expected, 2**-8)


@pytest.mark.parametrize("method", METHODS)
def test_repeats_exactly(method):
    inputs = ragged([(200, 300), (7, 5)], heads=4, dtype=torch.float32)
    grad = torch.randn(207, 4, 3)
    first = run(additive_attention, inputs, grad, method=method)
    for a, b in zip(first, run(additive_attention, inputs, grad, method=method),
                    strict=True):  # fmt: skip
        assert torch.equal(a, b)


def test_compiles_without_a_graph_break():
    s, t, v, n, m = ragged([(5, 4), (100, 120)], dtype=torch.float32)
    grad = torch.randn(105, 2, 3)

    def layer(s, t, v, n, m):
        return additive_attention(2 * s, t.exp(), v, n, m)

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert_close(
        run(compiled, (s, t, v, n, m), grad), run(layer, (s, t, v, n, m), grad), 1e-6
    )


@pytest.mark.parametrize("method", METHODS)
def test_registration(method):
    s, t, v, n, m = ragged([(3, 4), (2, 2)])
    x = [y.requires_grad_() for y in (s, t, v)]
    op = torch.ops.pyg_relational.additive_attention.default
    torch.library.opcheck(op, (*x, n, m, 0.2, method, True))


def test_bad_input():
    s, t, v, n, m = ragged([(3, 4), (2, 2)])
    with pytest.raises(TypeError, match="'source_score' must be floating point"):
        additive_attention(s, t.long(), v)
    with pytest.raises(ValueError, match=r"'value' must have the shape \[M, K, C\]"):
        additive_attention(s, t, v[0])
    with pytest.raises(ValueError, match=r"'value' must have the sources and heads"):
        additive_attention(s, t, v[1:])
    with pytest.raises(ValueError, match="'target_score' must have the heads"):
        additive_attention(s[:, :1], t, v)
    with pytest.raises(ValueError, match="'auto', 'sorted', 'dense' "):
        additive_attention(s, t, v, method="fast")
    with pytest.raises(ValueError, match="method='dense' takes any slope"):
        additive_attention(s, t, v, negative_slope=-0.1, method="sorted")
    with pytest.raises(ValueError, match="'target_ptr' must be ascending"):
        additive_attention(s, t, v, torch.tensor([0, 6, 5]), m)
    with pytest.raises(ValueError, match="same number of sets"):
        additive_attention(s, t, v, n, torch.tensor([0, 6]))
    with pytest.raises(ValueError, match="'source_ptr' must run from 0"):
        additive_attention(s, t, v, n, torch.tensor([0, 4, 5]))
