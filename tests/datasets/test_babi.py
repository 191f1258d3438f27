import io
import os
import tarfile
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import BAbI, babi, downloads
from pyg_relational.datasets.babi import TASKS, parse_stories, read_archive
from pyg_relational.datasets.vocabulary import tokenize
from tests.datasets.small_files import babi_files, write_babi

RELEASE_1_1, RELEASE_1_2 = "babi_v1.1_en.tar.gz", "tasks_1-20_v1-2.tar.gz"
SHARED = Path(
    os.environ.get("PYG_RELATIONAL_DATA")
    or Path(__file__).resolve().parents[3] / "shared" / "data"
)


@pytest.fixture(autouse=True)
def _no_shared_data(monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)


@pytest.fixture
def root(tmp_path):
    write_babi(tmp_path / "raw" / RELEASE_1_1, {"babi_v1.1_en": babi_files()})
    return tmp_path


def expected_questions(text, max_sentences):
    """What a file asks, read line by line: sentences, question, answer, facts."""
    sentences = {}
    for line in text.splitlines():
        number, rest = line.split(" ", 1)
        if number == "1":
            sentences = {}
        if "\t" not in rest:
            sentences[number] = tokenize(rest)
            continue
        asked, answer, facts = rest.split("\t")
        kept = list(sentences)[-max_sentences:]
        said = [sentences[k] for k in kept]
        yield said, tokenize(asked), answer, [k in facts.split() for k in kept]


def words(dataset, ids):
    return dataset.vocabulary.decode([k - 1 for k in ids.tolist() if k])


def check_questions(dataset, text):
    expected = list(expected_questions(text, dataset.max_sentences))
    assert len(dataset) == len(expected)
    for data, (said, asked, answer, facts) in zip(dataset, expected, strict=True):
        assert data.y.tolist() == [dataset.ANSWERS.index(answer)]
        if dataset.representation == "words":
            spoken = [word for sentence in said for word in sentence]
            assert words(dataset, data.x) == spoken + asked
            continue
        assert [words(dataset, row) for row in data.x] == said
        assert words(dataset, data.question[0]) == asked
        assert data.position.tolist() == list(range(len(said)))[::-1]
        assert data.supporting.tolist() == facts


@pytest.mark.parametrize("representation", ["sentences", "words"])
@pytest.mark.parametrize("max_sentences", [1, 3, 20])
def test_questions_are_those_of_the_file(root, representation, max_sentences):
    for task in (1, 7):
        dataset = BAbI(
            root,
            "test",
            tasks=[task],
            representation=representation,
            max_sentences=max_sentences,
        )
        text = babi_files()[f"qa{task}_{TASKS[task - 1]}_test.txt"]
        check_questions(dataset, text)
        assert dataset._data.question_task.eq(task - 1).all()


def test_fields(root):
    dataset = BAbI(root, "test")
    assert str(dataset) == "BAbI(180)"
    assert dataset.release == "1.1"
    data = dataset[2]
    # Six words and a full stop or question mark; padding is 0.
    assert data.x.shape == (6, 6)
    assert data.x.dtype == data.y.dtype == torch.long
    assert data.num_nodes == 6
    assert data.question.shape == (1, 6)
    assert data.question[0, -1] == 0
    assert data.supporting.tolist() == [True] + [False] * 5
    assert dataset.num_answers == len(dataset.ANSWERS) == 4
    assert dataset.num_tokens == len(dataset.vocabulary) + 1
    assert int(dataset._data.x.max()) < dataset.num_tokens
    batch = next(iter(DataLoader(dataset, batch_size=4)))
    assert batch.question.shape == (4, 6)
    assert batch.y.shape == batch.question_task.shape == (4,)
    assert batch.x.size(0) == batch.position.numel() == batch.batch.numel()


def test_words_and_answers_do_not_depend_on_the_tasks(root):
    joint, single = BAbI(root, "test"), BAbI(root, "test", tasks=[3])
    assert joint.vocabulary.tokens == single.vocabulary.tokens
    assert joint.ANSWERS == single.ANSWERS
    mine = [data for data in joint if data.question_task == 2]
    for a, b in zip(mine, single, strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)


def story_key(data):
    """Tells the stories of the training file of a task apart."""
    return int(data.question_task), tuple(data.x[0].tolist())


def test_validation_stories_are_apart_and_the_same_jointly(root):
    long = babi_files(stories=3, length=21)
    write_babi(root / "raw" / RELEASE_1_1, {"babi_v1.1_en": long})
    train, val = (
        BAbI(root, "train", val_fraction=0.3),
        BAbI(root, "val", None, val_fraction=0.3),
    )
    assert len(train) == 20 * 2 * 7
    assert len(val) == 20 * 7
    # The three stories of a task start with different sentences.
    assert not {story_key(data) for data in train} & {story_key(data) for data in val}
    single = BAbI(root, "val", tasks=[5], val_fraction=0.3)
    mine = {story_key(data) for data in val if data.question_task == 4}
    assert {story_key(data) for data in single} == mine
    seeds = {
        tuple(BAbI(root, "val", val_fraction=0.3, seed=seed)._data.x[:, -2].tolist())
        for seed in range(4)
    }
    assert len(seeds) > 1
    everything = BAbI(root, "train", val_fraction=0)
    assert len(everything) == 20 * 3 * 7


def test_a_test_answer_unseen_in_training_is_class_0(root):
    extra = "1 Mary went to the moon.\n2 Where is Mary?\tmoon,garden\t1\n"
    write_babi(root / "raw" / RELEASE_1_1, {"babi_v1.1_en": babi_files(extra)})
    dataset = BAbI(root, "test", tasks=[4])
    assert dataset.ANSWERS[0] == "<unk>"
    assert dataset._data.y.tolist().count(0) == 1
    data = dataset[-1]
    assert data.y.tolist() == [0]
    assert words(dataset, data.x[0]) == ["mary", "went", "to", "the", "<unk>", "."]
    assert 0 not in BAbI(root, "train")._data.y


def test_an_answer_of_several_words_is_one_class(root):
    content = babi_files()
    for name in content:
        content[name] = content[name].replace("\tgarden\t", "\tn,w\t")
    write_babi(root / "raw" / RELEASE_1_1, {"babi_v1.1_en": content})
    assert set(BAbI(root).ANSWERS) == {"<unk>", "n,w", "hallway", "office"}


def test_the_canonical_archive_comes_first_and_has_10k(root):
    large = {
        "tasks_1-20_v1-2/en": babi_files(),
        "tasks_1-20_v1-2/en-10k": babi_files(stories=20),
    }
    write_babi(root / "raw" / RELEASE_1_2, large)
    assert BAbI(root).release == "1.2"
    assert len(BAbI(root, version="10k")) == 2 * len(BAbI(root, version="1k"))


def test_the_archive_may_lie_elsewhere(root, tmp_path, monkeypatch):
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(root / "raw"))
    dataset = BAbI(tmp_path / "other", "test")
    assert len(dataset) == 180
    assert not (tmp_path / "other" / "raw").exists()


def test_the_archive_is_fetched_only_where_it_is_needed(tmp_path, monkeypatch):
    fetched = []

    def fetch(url, path, sha256):
        fetched.append((url, sha256))
        write_babi(Path(path), {"tasks_1-20_v1-2/en": babi_files()})

    monkeypatch.setattr(downloads, "fetch_raw", fetch)
    BAbI(tmp_path, "test")
    assert fetched == [(babi.URL, babi.SHA256)]
    BAbI(tmp_path, "train")
    (tmp_path / "raw" / RELEASE_1_2).unlink()
    BAbI(tmp_path, "test")
    assert len(fetched) == 1


def test_a_corrupted_line_is_named(root):
    content = babi_files()
    name = "qa16_basic-induction_train.txt"
    content[name] = content[name].replace("\tgarden\t1\n", "\tgarden\n", 1)
    write_babi(root / "raw" / RELEASE_1_1, {"babi_v1.1_en": content})
    with pytest.raises(ValueError, match=rf"babi_v1.1_en/{name}, line \d+: .*2 fields"):
        BAbI(root, tasks=[1])


def test_too_few_stories_are_an_error(root):
    with pytest.raises(ValueError, match=r"`val_fraction` .* leaves none"):
        BAbI(root, val_fraction=0.99)


def test_groups_name_the_tasks():
    (names,) = BAbI.metric_groups().values()
    assert len(names) == 20
    assert names[0] == "1 single supporting fact"
    assert names[19] == "20 agents motivations"


@pytest.mark.skipif(
    not (SHARED / RELEASE_1_1).is_file(), reason=f"{RELEASE_1_1} is not at hand"
)
def test_release_1_1(tmp_path, monkeypatch):
    monkeypatch.setenv("PYG_RELATIONAL_DATA", str(SHARED))
    train, val, test = (BAbI(tmp_path, split) for split in ("train", "val", "test"))
    assert len(train) + len(val) == len(test) == 20_000
    for dataset in (train, val, test):
        assert len(dataset._data.question_task.unique()) == 20
    marks = {"<unk>", ".", "?"}
    # 145 words, as the source counts them.
    assert len(set(train.vocabulary.tokens) - marks) == 145
    assert 1 not in test._data.x
    assert train.num_answers == 58
    # "football,apple,milk" is asked once and never in training.
    assert Counter(test._data.y.tolist())[0] == 1
    with tarfile.open(SHARED / RELEASE_1_1) as archive:
        for task, representation in ((3, "words"), (8, "sentences")):
            name = f"babi_v1.1_en/qa{task}_{TASKS[task - 1]}_test.txt"
            text = archive.extractfile(name).read().decode()
            text = text.replace("\tfootball,apple,milk\t", "\t<unk>\t")
            dataset = BAbI(tmp_path, "test", [task], representation=representation)
            check_questions(dataset, text)


STORY = b"""1 Mary moved to the bathroom.
2 John went to the hallway.
3 Where is Mary? \tbathroom\t1
4 Daniel went back to the hallway.
5 Sandra took the milk.
6 Where is Daniel? \thallway\t4
1 The kitchen is north of the garden.
2 What is north of the garden?\tkitchen\t1
"""


def line(number, content):
    """The story with one line replaced."""
    lines = STORY.split(b"\n")
    lines[number - 1] = content
    return b"\n".join(lines)


def test_a_file():
    sentences, questions = parse_stories(STORY, "qa1.txt")
    assert len(sentences) == 5
    assert sentences[2] == "Daniel went back to the hallway."
    assert [tuple(question) for question in questions] == [
        (0, 0, 2, "Where is Mary?", "bathroom", (0,)),
        (0, 0, 4, "Where is Daniel?", "hallway", (2,)),
        (1, 4, 5, "What is north of the garden?", "kitchen", (4,)),
    ]


def test_line_ends_do_not_matter():
    expected = parse_stories(STORY, "qa1.txt")
    for content in (STORY.strip(), STORY + b"\n\n", STORY.replace(b"\n", b"\r\n")):
        assert parse_stories(content, "qa1.txt") == expected


WORDS = st.lists(st.sampled_from(["mary", "Went", "to", "é"]), min_size=1, max_size=4)


@given(
    st.lists(
        st.lists(st.tuples(WORDS, st.booleans(), st.integers(0, 9)), max_size=6),
        max_size=4,
    )
)
def test_what_is_written_is_read(stories):
    lines, sentences, questions = [], [], []
    for k, story in enumerate(stories):
        first, ids = len(sentences), [1]
        lines.append("1 A story.")
        sentences.append("A story.")
        for number, (text, asked, fact) in enumerate(story, 2):
            if asked:
                row = fact % len(ids)
                question = " ".join(text) + "?"
                lines.append(f"{number} {question} \tn,w\t{ids[row]}")
                span = (first, len(sentences))
                questions.append((k, *span, question, "n,w", (first + row,)))
            else:
                ids.append(number)
                sentences.append(" ".join(text) + ".")
                lines.append(f"{number} {sentences[-1]}")
    lines = lines or ["1 A story."]
    found = parse_stories("\n".join(lines).encode(), "file")
    assert found.sentences == (sentences or ["A story."])
    assert [tuple(question) for question in found.questions] == questions


@pytest.mark.parametrize(
    ("number", "content", "message"),
    [
        (1, b"Mary moved to the bathroom.", "expected a line number"),
        (1, b"", "expected a line number"),
        (1, "\u00b2 Mary moved.".encode(), "expected a line number"),
        (2, b"-2 John went to the hallway.", "expected a line number"),
        (1, b"2 Mary moved to the bathroom.", "expected number 1"),
        (4, b"3 Daniel went back to the hallway.", "one above 3, got 3"),
        (5, b"2 Sandra took the milk.", "one above 4, got 2"),
        (4, b"0 Daniel went back to the hallway.", "one above 3, got 0"),
        (2, b"2 ", "expected a sentence"),
        (2, b"2", "expected a sentence"),
        (3, b"3 Where is Mary? bathroom 1?", "found no tab"),
        (3, b"3 Where is Mary?", "found no tab"),
        (3, b"3 Where is Mary?\tbathroom", "got 2 fields"),
        (3, b"3 Where is Mary?\tbathroom\t1\t2", "got 4 fields"),
        (3, b"3 Where is Mary?\t \t1", "the answer is empty"),
        (3, b"3 \tbathroom\t1", "the question is empty"),
        (3, b"3 Where is Mary?\tbathroom\tone", "facts, got 'one'"),
        (3, b"3 Where is Mary?\tbathroom\t5", "facts, got '5'"),
        # The third line is a question, the line of another story is not of this one.
        (6, b"6 Where is Daniel?\thallway\t4 3", "facts, got '3'"),
        (8, b"2 What is north?\tkitchen\t4", "facts, got '4'"),
        (7, b"1 What is north?\tkitchen\t", "expected a sentence before"),
        (2, b"2 John \xff went.", "expected UTF-8"),
    ],
)
def test_a_wrong_line_is_named(number, content, message):
    with pytest.raises(ValueError, match=message) as raised:
        parse_stories(line(number, content), "en/qa1_train.txt")
    assert str(raised.value).startswith(f"en/qa1_train.txt, line {number}: ")


def test_an_empty_file_is_an_error():
    with pytest.raises(ValueError, match=r"qa1.txt, line 1: .*line number"):
        parse_stories(b"", "qa1.txt")


def write_members(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def members(prefix="en"):
    return {
        f"{prefix}/qa{task}_{name}_{split}.txt": STORY
        for task, name in enumerate(TASKS, 1)
        for split in ("train", "test")
    }


def test_an_archive(tmp_path):
    others = {
        "../outside.txt": b"x",
        "hn/qa1_single-supporting-fact_train.txt": b"x",
        "en/qa1.txt": b"x",
    }
    path = write_members(tmp_path / "babi.tar.gz", others | members("./en"))
    files = read_archive(path, "en")
    assert sorted(files) == [(t, s) for t in range(1, 21) for s in ("test", "train")]
    assert files[7, "test"] == parse_stories(STORY, "")
    assert [file.name for file in tmp_path.iterdir()] == ["babi.tar.gz"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("en/qa3_three-supporting-facts_test.txt", None, "no text file"),
        (
            "en/qa3_three-supporting-facts_test.txt",
            STORY.replace(b"\tkitchen", b" kitchen"),
            "en/qa3_three-supporting-facts_test.txt, line 8: .*got 2 fields",
        ),
    ],
)
def test_a_wrong_member_is_named(tmp_path, name, content, message):
    path = write_members(tmp_path / "babi.tar.gz", members() | {name: content})
    with pytest.raises(ValueError, match=message):
        read_archive(path, "en")


def test_a_missing_member_is_named(tmp_path):
    kept = members()
    del kept["en/qa20_agents-motivations_test.txt"]
    path = write_members(tmp_path / "babi.tar.gz", kept)
    with pytest.raises(ValueError, match=r"qa20_agents-motivations_test.txt' \(1 of"):
        read_archive(path, "en")


def test_a_damaged_archive_is_an_error(tmp_path):
    path = write_members(tmp_path / "babi.tar.gz", members())
    content = path.read_bytes()
    # Cut short, changed inside, and another file altogether.
    middle = len(content) // 2
    changed = content[:middle] + b"\xff" * 50 + content[middle + 50 :]
    for damaged in (content[:-200], content[:middle], changed, b"<html>"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"babi.tar.gz' to be a complete"):
            read_archive(path, "en")
