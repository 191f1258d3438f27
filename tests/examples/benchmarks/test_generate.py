import generate
import pytest
import torch

from pyg_relational._checks import UsageError


def test_both_representations_are_measured_on_one_thread(monkeypatch):
    threads = torch.get_num_threads()
    seen = []
    measure = generate._measure

    def spy(representation, num_scenes):
        seen.append((representation, num_scenes, torch.get_num_threads()))
        return measure(representation, num_scenes)

    monkeypatch.setattr(generate, "_measure", spy)
    results = generate.run(num_scenes=3, repeats=3)
    assert seen == [("state", 3, 1)] * 3 + [("pixels", 3, 1)] * 3
    for name in ("state", "pixels"):
        values = results[name]["all"]
        assert sum(v < results[name]["seconds"] for v in values) == 1
        assert min(values) > 0
    assert torch.get_num_threads() == threads
    assert results["hardware"]["processor"]
    assert results["hardware"]["threads"] == 1


def test_numbers_below_one_are_refused():
    with pytest.raises(UsageError, match="--num-scenes of at least 1, got 0"):
        generate.run(num_scenes=0)
