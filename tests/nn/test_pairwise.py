import pytest
import torch

from pyg_relational.nn import PairwiseMLP
from pyg_relational.testing import pair_value


def test_repr_and_widths_of_sources_and_targets():
    g = PairwiseMLP((3, 5), [8, 2], edge_dim=4, u_dim=1)
    assert str(g) == "PairwiseMLP((3, 5), [8, 2], act=relu)"
    x_i, x_j = torch.randn(6, 5), torch.randn(6, 3)
    edge_attr, u = torch.randn(6, 4), torch.randn(6, 1)
    rows = zip(x_i, x_j, edge_attr, u, strict=True)
    expected = torch.stack([pair_value(g, *row) for row in rows])
    torch.testing.assert_close(g(x_i, x_j, edge_attr, u), expected)


def test_first_layer_starts_like_one_linear_layer():
    torch.manual_seed(0)
    g = PairwiseMLP(3, [400], u_dim=10)
    weights = torch.cat([g.lin_r.weight, g.lin_l.weight, g.lin_u.weight], dim=1)
    bound = 16**-0.5
    assert weights.abs().max() <= bound
    assert weights.abs().max() > 0.99 * bound
    torch.testing.assert_close(
        weights.std(), torch.tensor(bound / 3**0.5), rtol=0.03, atol=0
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PairwiseMLP(3, []), "at least 1 layers"),
        (lambda: PairwiseMLP(3, [4], plain_last=True), "at least 2 layers"),
        (lambda: PairwiseMLP(3, [4], act="rleu"), "'act' must be one of"),
        (
            lambda: PairwiseMLP(3, [4])(torch.zeros(2, 4), torch.zeros(2, 3)),
            "'x_i' must",
        ),
        (
            lambda: PairwiseMLP(3, [4], u_dim=2)(torch.zeros(2, 3), torch.zeros(2, 3)),
            "'u' is missing; the layer was built with 'u_dim=2'",
        ),
        (
            lambda: PairwiseMLP(3, [4])(
                torch.zeros(2, 3), torch.zeros(2, 3), edge_attr=torch.zeros(2, 7)
            ),
            "'edge_attr' was given .* pass 'edge_dim=7'",
        ),
    ],
)
def test_bad_input_names_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
