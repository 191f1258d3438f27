from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from pyg_relational.ops import pair_reduce as module
from pyg_relational.ops import pair_reduce as pair_reduce_kernel
from pyg_relational.ops.pair_reduce import mlp_pair_reduce

ACTIVATIONS = {
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.01),
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
}
REDUCTIONS = {
    "sum": lambda h: h.sum(0),
    "mean": lambda h: h.mean(0),
    "max": lambda h: h.max(0).values,
    "min": lambda h: h.min(0).values,
}


def naive(
    target,
    source,
    layers,
    target_ptr,
    source_ptr,
    reduce="sum",
    act="relu",
    plain_last=False,
    self_pairs=True,
):
    width = layers[-1][0].size(0) if layers else target.size(1)
    rows = []
    sets = zip(
        pairwise(target_ptr.tolist()), pairwise(source_ptr.tolist()), strict=True
    )
    for targets, sources in sets:
        for i in range(*targets):
            values = []
            for j in range(*sources):
                if i == j and not self_pairs:
                    continue
                h = ACTIVATIONS[act](target[i] + source[j])
                for k, (weight, bias) in enumerate(layers):
                    h = F.linear(h, weight, bias)
                    if not plain_last or k + 1 < len(layers):
                        h = ACTIVATIONS[act](h)
                values.append(h)
            empty = target.new_zeros(width)
            rows.append(REDUCTIONS[reduce](torch.stack(values)) if values else empty)
    return torch.stack(rows) if rows else target.new_zeros(0, width)


def make(sizes, other_sizes=None, widths=(5, 7, 4), dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def leaf(*shape):
        x = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return x.to(dtype).requires_grad_()

    target_ptr = F.pad(torch.tensor(sizes).cumsum(0), (1, 0))
    source_ptr = F.pad(torch.tensor(other_sizes or sizes).cumsum(0), (1, 0))
    layers = [(leaf(b, a), leaf(b)) for a, b in pairwise(widths)]
    if len(layers) > 1:
        layers[1] = (layers[1][0], None)
    target, source = leaf(target_ptr[-1], widths[0]), leaf(source_ptr[-1], widths[0])
    return target, source, layers, target_ptr, source_ptr


def leaves(target, source, layers):
    return [target, source, *(x for layer in layers for x in layer if x is not None)]


def values_and_grads(out, inputs):
    weight = torch.linspace(-1, 2, out.numel(), dtype=torch.float64).view(out.shape)
    grads = [None] * len(inputs)
    if out.requires_grad:
        grads = torch.autograd.grad(
            out, inputs, weight.to(out.dtype), allow_unused=True
        )
    return [
        out,
        *(
            torch.zeros_like(x) if grad is None else grad
            for grad, x in zip(grads, inputs, strict=True)
        ),
    ]


def assert_equals_naive(args, tol=1e-10, **kwargs):
    method = kwargs.pop("method", "auto")
    out = values_and_grads(
        mlp_pair_reduce(*args, method=method, **kwargs), leaves(*args[:3])
    )
    expected = values_and_grads(naive(*args, **kwargs), leaves(*args[:3]))
    for ours, theirs in zip(out, expected, strict=True):
        scale = theirs.abs().max().item() if theirs.numel() else 1.0
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tol * max(scale, 1e-30))


@pytest.fixture
def small_tiles(monkeypatch):
    # Tiles of eight pairs split sets, and the sources of one target, in many ways.
    monkeypatch.setattr(module, "tile_size", lambda *_: 8)
    # The first tile or two are kept for the backward pass, the others are not.
    monkeypatch.setattr(pair_reduce_kernel, "_KEPT_VALUES", 300)


@pytest.mark.parametrize("act", list(ACTIVATIONS))
@pytest.mark.parametrize("reduce", list(REDUCTIONS))
@pytest.mark.parametrize("plain_last", [False, True])
def test_equals_naive(act, reduce, plain_last, small_tiles):
    args = make([3, 0, 2, 1, 4], [2, 3, 0, 11, 2])
    assert_equals_naive(args, act=act, reduce=reduce, plain_last=plain_last)


@pytest.mark.parametrize("reduce", list(REDUCTIONS))
@pytest.mark.parametrize("method", ["tiled", "dense"])
@pytest.mark.parametrize("plain_last", [False, True])
def test_without_self_pairs(reduce, method, plain_last, small_tiles):
    args = make([3, 0, 1, 12, 2])
    assert_equals_naive(
        args, reduce=reduce, method=method, plain_last=plain_last, self_pairs=False
    )


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 7)), min_size=1, max_size=6
    ),
    num_layers=st.integers(0, 2),
    reduce=st.sampled_from(list(REDUCTIONS)),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    tile=st.sampled_from([1, 3, 16, 256]),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    ties=st.booleans(),
)
def test_ragged_sets(sizes, num_layers, reduce, dtype, tile, scale, ties):
    n, m = map(list, zip(*sizes, strict=True))
    args = make(n, m, (3, 4, 2)[: num_layers + 1])
    with torch.no_grad():
        for x in args[:2]:
            x.copy_(x.round() if ties else (x * scale).float())
        for x in leaves(*args[:3])[2:]:
            x.copy_(x.float())
    expected = values_and_grads(naive(*args, reduce=reduce), leaves(*args[:3]))
    target, source, layers, *ptr = args
    target, source = (x.detach().to(dtype).requires_grad_() for x in (target, source))
    layers = [
        tuple(None if x is None else x.detach().to(dtype).requires_grad_() for x in y)
        for y in layers
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "tile_size", lambda *_: tile)
        out = mlp_pair_reduce(target, source, layers, *ptr, reduce=reduce)
    out = values_and_grads(out, leaves(target, source, layers))
    if dtype == torch.float32 and reduce in ("max", "min"):
        # Sources that tie up to rounding may swap the gradient.
        out, expected = out[:1], expected[:1]
    tol = 1e-10 if dtype == torch.float64 else 1e-5
    for ours, theirs in zip(out, expected, strict=True):
        size = theirs.abs().max().item() if theirs.numel() else 1.0
        torch.testing.assert_close(
            ours.double(), theirs, rtol=0, atol=tol * max(size, 1e-30)
        )


def test_float32_kernels():
    # Large enough for the kernels that small products do not use.
    args = make([40, 3, 33], widths=(128, 128, 160), seed=1)
    fast = [
        args[0].detach().float().requires_grad_(),
        args[1].detach().float().requires_grad_(),
        [
            tuple(None if x is None else x.detach().float().requires_grad_() for x in y)
            for y in args[2]
        ],
        *args[3:],
    ]
    # No kink: in float32 a ReLU may fall on the other side of zero.
    out, expected = (
        values_and_grads(mlp_pair_reduce(*x, act="tanh"), leaves(*x[:3]))
        for x in (fast, args)
    )
    for ours, theirs in zip(out, expected, strict=True):
        error = (ours.double() - theirs).abs().max() / theirs.abs().max()
        assert error < 1e-5


def test_one_set_by_default():
    args = make([4], [3])
    torch.testing.assert_close(mlp_pair_reduce(*args[:3]), naive(*args))


@pytest.mark.parametrize("reduce", ["sum", "max"])
def test_gradcheck(reduce, small_tiles):
    target, source, layers, *ptr = make([2, 1], [2, 5], widths=(2, 3))

    def function(target, source, weight, bias):
        return mlp_pair_reduce(
            target, source, [(weight, bias)], *ptr, act="tanh", reduce=reduce
        )

    assert torch.autograd.gradcheck(function, (target, source, *layers[0]))


def test_tied_maximum_gives_its_gradient_to_the_first_source(small_tiles):
    target = torch.zeros(1, 1)
    source = torch.ones(20, 1, requires_grad=True)
    mlp_pair_reduce(target, source, [], reduce="max").sum().backward()
    assert source.grad.flatten().tolist() == [1.0] + [0.0] * 19


@pytest.mark.parametrize("reduce", list(REDUCTIONS))
def test_sets_do_not_leak(reduce, small_tiles):
    target, source, layers, *ptr = make([3, 4, 2])
    before = mlp_pair_reduce(target, source, layers, *ptr, reduce=reduce)
    with torch.no_grad():
        source[3:7] = torch.tensor([1e300, torch.nan, -torch.inf, 3.0, 0.0])
    after = mlp_pair_reduce(target, source, layers, *ptr, reduce=reduce)
    other = [0, 1, 2, 7, 8]
    assert torch.equal(before[other], after[other])
    assert after[3:7].isnan().any()
    grads = torch.autograd.grad(after[other].sum(), [target, source])
    assert grads[0][other].isfinite().all()
    assert grads[1][other].isfinite().all()


@pytest.mark.parametrize("reduce", list(REDUCTIONS))
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_non_finite_values_propagate(reduce, bad, small_tiles):
    args = make([3, 14])
    with torch.no_grad():
        args[1][8, 2] = bad
    ours = values_and_grads(mlp_pair_reduce(*args, reduce=reduce), leaves(*args[:3]))
    theirs = values_and_grads(naive(*args, reduce=reduce), leaves(*args[:3]))
    for x, y in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x, y, equal_nan=True)


def test_bfloat16_computes_in_float32():
    args = make([5, 30], dtype=torch.bfloat16)
    out = mlp_pair_reduce(*args)
    assert out.dtype == torch.bfloat16
    double = [(w.double(), None if b is None else b.double()) for w, b in args[2]]
    exact = naive(args[0].double(), args[1].double(), double, *args[3:])
    # One rounding of the result: half a unit in the last of eight bits.
    assert ((out.double() - exact).abs() <= exact.abs() * 2**-8).all()
    grads = torch.autograd.grad(out.sum(), leaves(*args[:3]))
    assert {grad.dtype for grad in grads} == {torch.bfloat16}


def test_autocast_keeps_the_operator_in_float32():
    args = make([3, 4], dtype=torch.float32)
    expected = values_and_grads(mlp_pair_reduce(*args), leaves(*args[:3]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = mlp_pair_reduce(*args)
        plain = mlp_pair_reduce(*args, plain_last=True)
    for x, y in zip(values_and_grads(out, leaves(*args[:3])), expected, strict=True):
        assert torch.equal(x, y)
    expected = mlp_pair_reduce(*args, plain_last=True)
    torch.testing.assert_close(plain.float(), expected, rtol=0.05, atol=0.3)


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_compiles_without_graph_breaks(reduce):
    args = make([3, 4, 1], [2, 5, 0])

    def function(target, source, layers, target_ptr, source_ptr):
        return mlp_pair_reduce(
            2 * target, source, layers, target_ptr, source_ptr, reduce=reduce
        )

    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    ours = values_and_grads(compiled(*args), leaves(*args[:3]))
    theirs = values_and_grads(function(*args), leaves(*args[:3]))
    for x, y in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x, y)


def test_registration():
    target, source, layers, *ptr = make([2, 1], [2, 3])
    weights = [weight for weight, _ in layers]
    biases = [w.new_empty(0) if b is None else b for w, b in layers]
    for reduce in ("sum", "max"):
        inputs = [target, source, weights, biases, *ptr, reduce, "relu", 0.0]
        torch.library.opcheck(
            torch.ops.pyg_relational.pair_reduce.default, (*inputs, False, True, 256)
        )


@pytest.mark.parametrize("act", ["relu", "silu"])
def test_kept_and_recomputed_tiles_agree(act):
    args = make([6, 9, 20])
    out = mlp_pair_reduce(*args, act=act)
    # The first backward pass reads kept layers, the second computes them again.
    first, second = (
        torch.autograd.grad(out.sum(), leaves(*args[:3]), retain_graph=True)
        for _ in range(2)
    )
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


def test_repeats_bit_for_bit():
    args = make([30, 7, 50], widths=(64, 64, 64), dtype=torch.float32)
    runs = [
        values_and_grads(mlp_pair_reduce(*args), leaves(*args[:3])) for _ in range(2)
    ]
    assert all(torch.equal(x, y) for x, y in zip(*runs, strict=True))


def test_only_the_dense_method_builds_all_pairs():
    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.size = max(self.size, out.numel())
            return out

    def largest(method):
        target = torch.randn(150, 128, requires_grad=True)
        layers = [(torch.randn(128, 128, requires_grad=True), None)]
        with Largest() as seen:
            out = mlp_pair_reduce(target, 2 * target, layers, method=method)
            out.sum().backward()
        return seen.size

    assert largest("dense") >= 150 * 150 * 128
    assert largest("tiled") <= 2**19


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reduce": "median"}, "'sum', 'mean', 'max', 'min'"),
        ({"act": "swish"}, "'relu'.*'tanh'"),
        ({"method": "sorted"}, "'auto', 'dense', 'tiled'"),
        ({"negative_slope": -0.1}, "negative_slope.*-0.1"),
        ({"layers": [], "plain_last": True}, "plain_last"),
        ({"layers": [(torch.ones(3, 4), None)]}, r"\[out, 5\].*\[3, 4\]"),
        ({"layers": [(torch.ones(3, 5), torch.ones(2))]}, r"\[3\].*\[2\]"),
        ({"source": torch.ones(8, 6)}, "same width"),
        ({"target_ptr": torch.tensor([0, 5, 3, 7])}, "ascending"),
        ({"target_ptr": torch.tensor([0, 7])}, "same number of sets"),
        ({"target_ptr": torch.tensor([0, 1, 2, 6])}, "rows 7"),
        ({"self_pairs": False}, "self_pairs"),
    ],
)
def test_bad_input(change, message):
    names = ("target", "source", "layers", "target_ptr", "source_ptr")
    arguments = dict(zip(names, make([2, 1, 4], [3, 2, 3]), strict=True))
    if "source" not in change:
        arguments["source"] = arguments["source"].detach()
    arguments["target"] = arguments["target"].detach()
    arguments |= change
    for name in ("target", "source"):
        arguments[name] = arguments[name].to(torch.float64)
    with pytest.raises(ValueError, match=message):
        mlp_pair_reduce(**arguments)
