import io
import os
import tarfile
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch_geometric.loader import DataLoader

from pyg_relational.datasets import BAbI, babi, downloads
from pyg_relational.datasets.babi import TASKS
from pyg_relational.datasets.vocabulary import tokenize

RELEASE_1_1, RELEASE_1_2 = "babi_v1.1_en.tar.gz", "tasks_1-20_v1-2.tar.gz"
PEOPLE, PLACES = ("Mary", "John", "Sandra"), ("garden", "hallway", "office")
SHARED = Path(
    os.environ.get("PYG_RELATIONAL_DATA")
    or Path(__file__).resolve().parents[3] / "shared" / "data"
)


def story(task, k, length):
    """Sentences 1, 2, then question 3, and so on; each asks for the first fact."""
    lines = []
    for number in range(1, length + 1):
        if number % 3:
            place = PLACES[(k + number) % 3]
            lines.append(f"{number} {PEOPLE[(k * task) % 3]} went to the {place}.")
        else:
            place = PLACES[(k + 1) % 3]
            lines.append(f"{number} Where is T{task} first? \t{place}\t1")
    return "\n".join(lines) + "\n"


def files(extra_test="", stories=10, length=9):
    content = {}
    for task, name in enumerate(TASKS, 1):
        train = "".join(story(task, k, length) for k in range(stories))
        test = "".join(story(task, k, length) for k in range(3)) + extra_test
        content[f"qa{task}_{name}_train.txt"] = train
        content[f"qa{task}_{name}_test.txt"] = test
    return content


def write_archive(path, folders):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for folder, content in folders.items():
            for name, text in content.items():
                info = tarfile.TarInfo(f"{folder}/{name}")
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))


@pytest.fixture(autouse=True)
def _no_shared_data(monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)


@pytest.fixture
def root(tmp_path):
    write_archive(tmp_path / "raw" / RELEASE_1_1, {"babi_v1.1_en": files()})
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
        text = files()[f"qa{task}_{TASKS[task - 1]}_test.txt"]
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
    long = files(stories=3, length=21)
    write_archive(root / "raw" / RELEASE_1_1, {"babi_v1.1_en": long})
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
    write_archive(root / "raw" / RELEASE_1_1, {"babi_v1.1_en": files(extra)})
    dataset = BAbI(root, "test", tasks=[4])
    assert dataset.ANSWERS[0] == "<unk>"
    assert dataset._data.y.tolist().count(0) == 1
    data = dataset[-1]
    assert data.y.tolist() == [0]
    assert words(dataset, data.x[0]) == ["mary", "went", "to", "the", "<unk>", "."]
    assert 0 not in BAbI(root, "train")._data.y


def test_an_answer_of_several_words_is_one_class(root):
    content = files()
    for name in content:
        content[name] = content[name].replace("\tgarden\t", "\tn,w\t")
    write_archive(root / "raw" / RELEASE_1_1, {"babi_v1.1_en": content})
    assert set(BAbI(root).ANSWERS) == {"<unk>", "n,w", "hallway", "office"}


def test_the_canonical_archive_comes_first_and_has_10k(root):
    large = {"tasks_1-20_v1-2/en": files(), "tasks_1-20_v1-2/en-10k": files(stories=20)}
    write_archive(root / "raw" / RELEASE_1_2, large)
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
        write_archive(Path(path), {"tasks_1-20_v1-2/en": files()})

    monkeypatch.setattr(downloads, "fetch_raw", fetch)
    BAbI(tmp_path, "test")
    assert fetched == [(babi.URL, babi.SHA256)]
    BAbI(tmp_path, "train")
    (tmp_path / "raw" / RELEASE_1_2).unlink()
    BAbI(tmp_path, "test")
    assert len(fetched) == 1


def test_every_argument_is_in_the_file_name(root):
    variants = [
        {},
        {"tasks": [1]},
        {"tasks": [11]},
        {"tasks": [1, 11]},
        {"representation": "words"},
        {"max_sentences": 2},
        {"val_fraction": 0.25},
        {"seed": 1},
        {"pre_filter": bool},
    ]
    names = {BAbI(root, **kwargs).processed_file_names for kwargs in variants}
    assert len(names) == len(variants)
    assert len(BAbI(root, tasks=[7, 1])) == len(BAbI(root, tasks=(1, 7)))


def test_filter_and_transform_are_applied(root):
    dataset = BAbI(
        root,
        pre_filter=lambda data: data.num_nodes == 2,
        pre_transform=lambda data: data.update({"first": data.x[:1]}),
    )
    assert {data.num_nodes for data in dataset} == {2}
    assert torch.equal(dataset[5].first[0], dataset[5].x[0])
    assert dataset.num_answers == 4


def test_a_damaged_file_is_made_again(root):
    dataset = BAbI(root)
    path = Path(dataset.processed_paths[0])
    path.write_bytes(path.read_bytes()[:-10])
    assert torch.equal(BAbI(root)._data.x, dataset._data.x)


def test_a_corrupted_line_is_named(root):
    content = files()
    name = "qa16_basic-induction_train.txt"
    content[name] = content[name].replace("\tgarden\t1\n", "\tgarden\n", 1)
    write_archive(root / "raw" / RELEASE_1_1, {"babi_v1.1_en": content})
    with pytest.raises(ValueError, match=rf"babi_v1.1_en/{name}, line \d+: .*2 fields"):
        BAbI(root, tasks=[1])


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"split": "tset"}, ValueError, "did you mean 'test'"),
        ({"version": "100k"}, ValueError, "'10k'"),
        ({"representation": "word"}, ValueError, "'words'"),
        ({"tasks": []}, ValueError, "one or more tasks"),
        ({"tasks": [1, 1]}, ValueError, "once each"),
        ({"tasks": [0]}, ValueError, "from 1 to 20, got 0"),
        ({"tasks": [21]}, ValueError, "from 1 to 20, got 21"),
        ({"tasks": 3}, TypeError, "list of integers"),
        ({"tasks": "12"}, TypeError, "list of integers"),
        ({"max_sentences": 0}, ValueError, "at least 1"),
        ({"max_sentences": 2.0}, TypeError, "integer"),
        ({"val_fraction": 1.0}, ValueError, "at least 0 and below 1"),
        ({"val_fraction": float("nan")}, ValueError, "below 1"),
        ({"val_fraction": "0.1"}, TypeError, "a number"),
        ({"val_fraction": 0, "split": "val"}, ValueError, "above 0"),
        ({"val_fraction": 0.99}, ValueError, "leaves none"),
        ({"seed": -1}, ValueError, "at least 0"),
    ],
)
def test_bad_arguments(root, kwargs, error, message):
    with pytest.raises(error, match=message):
        BAbI(root, **kwargs)


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
