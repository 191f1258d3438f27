import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import one_hot
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from pyg_relational.datasets.nlvr import COLOURS, FIXED_WORDS, PLURALS, TYPES
from pyg_relational.datasets.vocabulary import UNKNOWN, Vocabulary
from pyg_relational.transforms import AugmentNLVR

WORDS = Vocabulary([UNKNOWN, *FIXED_WORDS, "touch", "wall", "is", "the"])


def statement(sentence, objects):
    """Objects are (box, x, y, size, type, colour)."""
    raw = torch.tensor(objects).view(-1, 6)
    x = torch.cat(
        [
            raw[:, 1:4] / 100,
            one_hot(raw[:, 4].long(), 3),
            one_hot(raw[:, 5].long(), 3),
            one_hot(raw[:, 0].long(), 3),
        ],
        dim=1,
    )
    words = WORDS.encode(sentence.split(), strict=True)
    return Data(x=x, box=raw[:, 0].long(), sentence=words)


def facts(data):
    """What of its objects a sentence of colours and shapes can be about: in any box,
    how many of those that are named are where."""
    said = WORDS.decode(data.sentence)
    colours = [COLOURS.index(word) for word in said if word in COLOURS]
    names = (*TYPES, *PLURALS)
    types = [names.index(word) % 3 for word in said if word in names]
    boxes = [[], [], []]
    for row, box in zip(data.x, data.box.tolist(), strict=True):
        assert row[9:].argmax() == box
        assert row[3:6].sum() == row[6:9].sum() == row[9:].sum() == 1
        left, right = float(row[0]), float(1 - row[0] - row[2])
        sides = sorted((round(100 * left), round(100 * right)))
        named = [int(row[6 + k]) for k in colours], [int(row[3 + k]) for k in types]
        boxes[box].append((sides, round(100 * float(row[1])), named))
    return sorted(sorted(box) for box in boxes)


OBJECTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 70),
        st.integers(0, 70),
        st.sampled_from([10, 20, 30]),
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    max_size=6,
)
SENTENCES = st.lists(st.sampled_from(WORDS.tokens), min_size=1, max_size=6)
STATEMENTS = st.builds(statement, SENTENCES.map(" ".join), OBJECTS)


def batch_of(statements):
    loader = DataLoader(statements, len(statements), follow_batch=["sentence"])
    return next(iter(loader))


@given(st.lists(STATEMENTS, min_size=1, max_size=5), st.integers(0, 2**31))
@settings(max_examples=80, deadline=None)
def test_what_a_sentence_is_about_stays_the_same(statements, seed):
    torch.manual_seed(seed)
    changed = AugmentNLVR()(batch_of(statements))
    words = changed.sentence.split([s.sentence.numel() for s in statements])
    x = changed.x.split([s.num_nodes for s in statements])
    box = changed.box.split([s.num_nodes for s in statements])
    for i, before in enumerate(statements):
        after = Data(x=x[i], box=box[i], sentence=words[i])
        assert facts(after) == facts(before)
        # The other words are as they were.
        old, new = WORDS.decode(before.sentence), WORDS.decode(after.sentence)
        names = (*COLOURS, *TYPES, *PLURALS)
        for a, b in zip(old, new, strict=True):
            kinds = [kind for kind in (COLOURS, TYPES, PLURALS) if a in kind]
            assert (b in kinds[0]) if a in names else (a == b)
        single = AugmentNLVR()(before)
        assert facts(single) == facts(before)


ONE = [(0, 10, 5, 20, 1, 2), (2, 70, 0, 30, 0, 1)]


def variants(sentence, count=4000):
    torch.manual_seed(0)
    changed = AugmentNLVR()(batch_of([statement(sentence, ONE)] * count))
    # [B * objects, 12] -> [B, objects * 12]
    rows = torch.cat(
        [changed.x.view(count, -1), changed.sentence.view(count, -1)], dim=1
    )
    kinds, times = (rows * 100).round().unique(dim=0, return_counts=True)
    return len(kinds), float(times.max() / times.min())


def test_every_variant_is_equally_likely():
    number, ratio = variants("the yellow circles", 20_000)
    assert number == 432
    assert ratio < 3
    # No mirror; no other shapes.
    assert variants("the right wall")[0] == 216
    assert variants("left blue square")[0] == 216
    assert variants("the block is yellow")[0] == 72
    assert variants("blocks right")[0] == 36


def test_a_copy_is_changed():
    torch.manual_seed(0)
    before = statement("yellow circle", ONE)
    kept = before.clone()
    for _ in range(5):
        AugmentNLVR()(before)
    for name in ("x", "box", "sentence"):
        assert torch.equal(before[name], kept[name])


def test_boxes_need_no_numbers():
    data = statement("yellow", ONE)
    del data.box
    assert {*AugmentNLVR()(data).keys()} == {"x", "sentence"}
    assert str(AugmentNLVR()) == "AugmentNLVR()"


def test_wrong_data_is_explained():
    data = statement("yellow", ONE)
    with pytest.raises(ValueError, match=r"'x' and 'sentence' must be .*got x"):
        AugmentNLVR()(Data(x=data.x))
    with pytest.raises(ValueError, match=r"12 columns .*got \[2, 11\] and \[1\]"):
        AugmentNLVR()(Data(x=data.x[:, 1:], sentence=data.sentence))
    with pytest.raises(ValueError, match=r"one dimension .*got \[2, 12\] and \[1, 1\]"):
        AugmentNLVR()(Data(x=data.x, sentence=data.sentence[None]))
    batch = next(iter(DataLoader([data], 1)))
    with pytest.raises(ValueError, match=r"follow_batch=\['sentence'\]"):
        AugmentNLVR()(batch)
