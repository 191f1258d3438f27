import math

import pytest
import torch
from textbook import composition
from torch import nn

from pyg_relational.models import GraphAttentionNetwork, RelationCompositionNetwork
from pyg_relational.models.relation_composition_network import pair_rows, pair_triples
from pyg_relational.nn import PairwiseMLP, RelationCompositionCell

NUM = 5


class Sum(nn.Module):
    """A relation that has learnt to add up two whole numbers from 0 to 4, if the sum
    is below 5; larger sums have no name, and it knows that it guesses."""

    in_channels, out_channels = (NUM, NUM), NUM + 1

    def reset_parameters(self):
        pass

    def project(self, target, source):
        return target @ torch.arange(NUM).to(target), source @ torch.arange(NUM).to(
            source
        )

    def relate(self, total):
        rows = torch.zeros(len(total), NUM + 1)
        for row, value in zip(rows, total.round().long().tolist(), strict=True):
            row[value % NUM] = 60.0
            row[NUM] = 60.0 if value < NUM else -60.0
        return rows


def sums(steps):
    model = RelationCompositionNetwork(NUM, steps=steps)
    model.cell.nn = Sum()
    return model


def chain(numbers, first=0):
    steps = torch.arange(len(numbers)) + first
    edge_attr = torch.eye(NUM)[torch.tensor(numbers)]
    return torch.stack([steps, steps + 1]), edge_attr


def answer(model, numbers, **kwargs):
    edge_index, edge_attr = chain(numbers)
    x, asked = torch.zeros(len(numbers) + 1, 1), torch.tensor([[0], [len(numbers)]])
    return model(x, edge_index, edge_attr, asked, **kwargs)


@pytest.mark.parametrize("length", range(1, 8))
def test_a_chain_is_composed_in_so_many_steps(length):
    """The one 1 has to travel as far as the first node's last partner."""
    numbers = [0] * (length - 1) + [1]
    log_p = answer(sums(max(1, length - 1)), numbers)
    assert log_p.exp()[0, 1] == pytest.approx(1, abs=1e-5)


def test_too_few_steps_know_nothing():
    log_p = answer(sums(1), [1, 0, 0])
    assert log_p.eq(log_p[0, 0]).all()
    assert answer(sums(1), [1, 0, 0], steps=2).argmax() == 1


def test_it_stops_where_nothing_changes():
    model, calls = sums(50), []
    model.cell.register_forward_hook(lambda *_: calls.append(1))
    assert answer(model, [1, 0, 2]).argmax() == 3
    # Two steps that compose, one that finds nothing new.
    assert len(calls) == 3


def test_ways_without_a_name_are_not_trusted():
    """3 + 4 has no name, 4 - 3 on the way has: relations are composed in the order
    that keeps to names, which is not that of the chain."""

    class Difference(Sum):
        """Of 3 and 4 nothing is known, and 4 and 1 are 0."""

        def relate(self, total):
            out = super().relate(total)
            out[total.round() == 5, 0] = 80.0
            out[total.round() == 5, NUM] = 60.0
            return out

    model = sums(3)
    model.cell.nn = Difference()
    # (3 + 4) + 1 starts with a guess: 2 + 1 = 3, which is as good as none.
    assert answer(model, [3, 4, 1]).argmax() == 3
    p = answer(model, [3, 4, 1]).exp()[0]
    assert p[3] == pytest.approx(1, abs=1e-5)


def test_given_pairs_stay():
    """Also where a way around says something else."""
    model = sums(4)
    edge_index = torch.tensor([[0, 1, 0], [1, 2, 2]])
    edge_attr = torch.eye(NUM)[torch.tensor([1, 1, 3])]
    asked = torch.tensor([[0, 2], [2, 0]])
    log_p = model(torch.zeros(3, 1), edge_index, edge_attr, asked)
    torch.testing.assert_close(log_p[0].exp(), torch.eye(NUM)[3])
    # No way back.
    assert log_p[1].eq(log_p[1, 0]).all()


def test_two_relations_of_the_same_pair_count_alike():
    model = sums(1)
    edge_index = torch.tensor([[0, 0], [1, 1]])
    edge_attr = torch.eye(NUM)[torch.tensor([1, 4])]
    asked = torch.tensor([[0], [1]])
    p = model(torch.zeros(2, 1), edge_index, edge_attr, asked).exp()[0]
    torch.testing.assert_close(p, torch.tensor([0, 0.5, 0, 0, 0.5]))


def test_pairs_and_triples_are_numbered_alike():
    ptr = torch.tensor([0, 3, 3, 7])
    pairs = [
        (i, j) for a, b in [(0, 3), (3, 7)] for i in range(a, b) for j in range(a, b)
    ]
    numbers = pair_rows(torch.tensor(pairs).t(), ptr)
    assert numbers.tolist() == list(range(len(pairs)))
    expected = {
        (pairs.index((i, k)), pairs.index((k, j)), pairs.index((i, j)))
        for a, b in [(0, 3), (3, 7)]
        for i in range(a, b)
        for k in range(a, b)
        for j in range(a, b)
        if len({i, k, j}) == 3
    }
    triples = pair_triples(ptr).t().tolist()
    assert len(triples) == len(expected) == 6 + 24
    assert {tuple(row) for row in triples} == expected


def test_a_cell_says_what_it_is():
    cell = RelationCompositionCell(2, PairwiseMLP(2, [4, 3], plain_last=True))
    g = "PairwiseMLP((2, 2), [4, 3], act=relu)"
    assert str(cell) == f"RelationCompositionCell(2, nn={g})"
    model = RelationCompositionNetwork(2, [4], steps=3)
    assert str(model) == f"RelationCompositionNetwork({cell}, steps=3)"


def test_it_learns_to_compose_and_goes_on_composing():
    """Turns by quarters: all pairs of turns are seen, chains of three and more not."""
    torch.manual_seed(0)
    model = RelationCompositionNetwork(4, [32], steps=1)
    eye = torch.eye(4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    pairs = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    nodes = 3 * torch.arange(16)
    # [16, 2, 2] -> [2, 32]
    edge_index = torch.stack([nodes, nodes + 1, nodes + 1, nodes + 2]).view(2, 2, 16)
    edge_index = edge_index.permute(1, 2, 0).flatten(1)
    batch = torch.arange(16).repeat_interleave(3)
    asked = torch.stack([nodes, nodes + 2])
    for _ in range(100):
        x, edge_attr = torch.zeros(48, 1), eye[pairs.flatten()]
        log_p = model(x, edge_index, edge_attr, asked, batch)
        loss = nn.functional.cross_entropy(log_p, pairs.sum(1) % 4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    turns = torch.randint(4, (8, 9))
    for row in turns:
        steps = torch.arange(9)
        log_p = model(
            torch.zeros(10, 1),
            torch.stack([steps, steps + 1]),
            eye[row],
            torch.tensor([[0], [9]]),
            steps=8,
        )
        assert log_p.argmax() == row.sum() % 4


def relation(width=NUM, out=NUM + 1):
    return PairwiseMLP(width, [4, out], plain_last=True)


@pytest.mark.parametrize("nn", [relation(NUM + 1), relation(out=NUM)])
def test_a_relation_of_other_widths_is_refused(nn):
    with pytest.raises(ValueError, match="'nn' must turn two distributions over 5"):
        RelationCompositionCell(NUM, nn)


def test_bad_input_of_a_cell_is_refused():
    with pytest.raises(ValueError, match="'entropy_weight' must be at least 0"):
        RelationCompositionCell(NUM, relation(), entropy_weight=-1.0)
    cell = RelationCompositionCell(NUM, relation())
    x, triples = torch.zeros(4, NUM), torch.zeros(3, 0, dtype=torch.long)
    p, trust = cell.initial_state(x)
    with pytest.raises(ValueError, match="'x' must have 5 features"):
        cell(x[:, 1:], triples=triples)
    with pytest.raises(ValueError, match=r"'state\[0\]' must have shape \[4, 5\]"):
        cell(x, (p[1:], trust), triples=triples)
    with pytest.raises(ValueError, match=r"'state\[1\]' must have shape \[4, 1\]"):
        cell(x, (p, trust[1:]), triples=triples)
    with pytest.raises(TypeError, match=r"'state\[1\]' must be a tensor"):
        cell(x, (p, None), triples=triples)


@pytest.mark.parametrize("steps", [0, 1.5])
def test_a_wrong_number_of_steps_is_refused(steps):
    with pytest.raises(ValueError, match="'steps' must be a whole number of at least"):
        RelationCompositionNetwork(NUM, steps=steps)
    with pytest.raises(ValueError, match="'steps' must be a whole number of at least"):
        answer(sums(1), [1, 0], steps=0)


def test_bad_input_is_refused():
    model = RelationCompositionNetwork(NUM)
    edge_index, edge_attr = chain([1, 2])
    x, asked = torch.zeros(3, 1), torch.tensor([[0], [2]])
    with pytest.raises(ValueError, match="'edge_attr' must have 5 features"):
        model(x, edge_index, edge_attr[:, 1:], asked)
    with pytest.raises(ValueError, match="'edge_attr' must have one row for each"):
        model(x, edge_index, edge_attr[1:], asked)
    for wrong in (2 * edge_attr, edge_attr - 0.5, edge_attr * torch.tensor([[1], [0]])):
        with pytest.raises(ValueError, match=r"a distribution .* in row [01]\); pass"):
            model(x, edge_index, wrong, asked)
    with pytest.raises(ValueError, match="'batch' must name the set of each"):
        model(x, edge_index, edge_attr, asked, torch.zeros(2, dtype=torch.long))


def test_bad_input_of_a_graph_attention_network_is_refused():
    with pytest.raises(ValueError, match="'num_layers' must be at least 1"):
        GraphAttentionNetwork(3, 2, num_layers=0)
    with pytest.raises(ValueError, match="must be a multiple of 'heads=3'"):
        GraphAttentionNetwork(3, 2, 64, heads=3)
    model = GraphAttentionNetwork(3, 2, 8, edge_dim=NUM)
    edge_index, edge_attr = chain([1, 2])
    x, asked = torch.zeros(3, 3), torch.tensor([[0], [2]])
    with pytest.raises(ValueError, match="'x' must have 3 features"):
        model(x[:, 1:], edge_index, edge_attr, asked)
    with pytest.raises(ValueError, match="'edge_attr' is missing"):
        model(x, edge_index, edge_label_index=asked)
    with pytest.raises(ValueError, match="'edge_attr' must have one row for each"):
        model(x, edge_index, edge_attr[1:], asked)


def test_the_pairs_asked_for_are_composed() -> None:
    """Else the contract would say little."""
    part = composition.PARTS["RelationCompositionNetwork"]
    data, model = part.batch((4, 1, 3)), part.module()
    out, given = composition.run_composition(model, data), data.edge_index.t().tolist()
    known = out.amax(dim=1) > math.log(1e-6)
    pairs = composition.asked(data).t().tolist()
    composed = {
        tuple(pair)
        for pair, row in zip(pairs, known.tolist(), strict=True)
        if row and pair not in given and pair[0] != pair[1]
    }
    assert len(composed) >= 3
