import math

import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets.nth_farthest import NthFarthest

SIZES = {"num_train": 40, "num_val": 30, "num_test": 20}


def build(root, split="train", **kwargs):
    return NthFarthest(root, split, **(SIZES | kwargs))


def naive_answer(x, v):
    """The answer to one sample, read off its rows as the task is worded."""
    rows = x.double().tolist()
    dim = len(rows[0]) - 3 * v
    vectors = [row[:dim] for row in rows]
    labels = [row[dim : dim + v].index(1) for row in rows]
    n, m = rows[0][dim + v : dim + 2 * v].index(1), rows[0][dim + 2 * v :].index(1)
    reference = vectors[labels.index(m)]
    ranked = sorted(
        range(v), key=lambda i: math.dist(vectors[i], reference), reverse=True
    )
    return labels[ranked[n]], n, m


@pytest.mark.parametrize(("v", "dim"), [(8, 16), (3, 2), (2, 1)])
def test_answers_equal_the_definition(tmp_path, v, dim):
    dataset = build(tmp_path, num_train=300, num_vectors=v, dim=dim)
    asked = set()
    for sample in dataset:
        assert sample.x.shape == (v, dim + 3 * v)
        answer, n, m = naive_answer(sample.x, v)
        assert sample.y.tolist() == [answer]
        assert sample.question_n.tolist() == [n]
        # The question is the same in every row, each label occurs once.
        assert (sample.x[:, dim + v :] == sample.x[0, dim + v :]).all()
        assert torch.equal(sample.x[:, dim : dim + v].sum(0), torch.ones(v))
        if n == v - 1:
            assert answer == m  # the last rank is m itself
        asked.add((n, m))
    assert len(asked) == v * v if v < 8 else len(asked) > 50


def test_samples_are_uniform(tmp_path):
    data = build(tmp_path, num_train=20000)._data
    vectors = data.x[:, :16]
    assert vectors.min() < -0.999
    assert vectors.max() > 0.999
    assert vectors.mean().abs() < 0.005
    assert abs(vectors.var() - 1 / 3) < 0.005
    # [B * v, v] -> [B, v, v]: each label is as often in each row
    labels = data.x[:, 16:24].view(-1, 8, 8).mean(0)
    assert (labels - 1 / 8).abs().max() < 0.015
    for name in ("y", "question_n"):
        share = torch.bincount(data[name], minlength=8) / 20000
        assert (share - 1 / 8).abs().max() < 0.015


def test_distances_are_the_edges(tmp_path):
    plain, dataset = build(tmp_path), build(tmp_path, distance=True)
    assert "edge_index" not in plain[0]
    for sample, without in zip(dataset, plain, strict=True):
        assert torch.equal(sample.x, without.x)
        assert torch.equal(sample.y, without.y)
        pairs = sample.edge_index.T.tolist()
        assert sorted(pairs) == [[i, j] for i in range(8) for j in range(8)]
        for (i, j), distance in zip(pairs, sample.edge_attr.tolist(), strict=True):
            expected = math.dist(sample.x[i, :16].tolist(), sample.x[j, :16].tolist())
            # Vectors of 16 coordinates are about sqrt(32 / 3) apart.
            expected = (expected - math.sqrt(32 / 3)) / math.sqrt(7 / 30)
            assert distance == [pytest.approx(expected, abs=1e-5)]


def test_rows_of_the_answers(tmp_path):
    for label, row in zip(build(tmp_path), build(tmp_path, answer="row"), strict=True):
        assert torch.equal(label.x, row.x)
        assert label.x[row.y[0], 16:24].argmax() == label.y[0]


def test_distances_are_standardised(tmp_path):
    dataset = build(tmp_path, num_train=2000, distance=True)
    source, target = dataset[0].edge_index
    feature = torch.stack([sample.edge_attr[source != target] for sample in dataset])
    assert abs(feature.mean()) < 0.1
    assert abs(feature.std() - 1) < 0.05


def test_batches(tmp_path):
    dataset = build(tmp_path, distance=True)
    batch = next(iter(DataLoader(dataset, batch_size=4)))
    assert batch.y.shape == batch.question_n.shape == (4,)
    assert batch.edge_index.max() == 31
    same = batch.batch[batch.edge_index[0]] == batch.batch[batch.edge_index[1]]
    assert same.all()
    vectors = batch.x[:, :16]
    distance = (vectors[batch.edge_index[0]] - vectors[batch.edge_index[1]]).norm(dim=1)
    distance = (distance - math.sqrt(32 / 3)) / math.sqrt(7 / 30)
    assert torch.allclose(batch.edge_attr[:, 0], distance, atol=1e-5)


def test_splits_share_no_sample(tmp_path):
    same = dict.fromkeys(SIZES, 50)
    vectors = [
        build(tmp_path, s, **same)._data.x[:, :16] for s in ("train", "val", "test")
    ]
    rows = {tuple(row) for split in vectors for row in split.tolist()}
    assert len(rows) == 3 * 50 * 8


def test_what_the_trainer_reads():
    assert (NthFarthest.task, NthFarthest.kind) == ("classification", "graph")
    assert NthFarthest.metric_groups() == {"n": tuple("12345678")}
