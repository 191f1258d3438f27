import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyg_relational.datasets.babi import TASKS, parse_stories, read_archive

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


words = st.lists(st.sampled_from(["mary", "Went", "to", "é"]), min_size=1, max_size=4)


@given(
    st.lists(
        st.lists(st.tuples(words, st.booleans(), st.integers(0, 9)), max_size=6),
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


def write_archive(path, members):
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
    path = write_archive(tmp_path / "babi.tar.gz", others | members("./en"))
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
    path = write_archive(tmp_path / "babi.tar.gz", members() | {name: content})
    with pytest.raises(ValueError, match=message):
        read_archive(path, "en")


def test_a_missing_member_is_named(tmp_path):
    kept = members()
    del kept["en/qa20_agents-motivations_test.txt"]
    path = write_archive(tmp_path / "babi.tar.gz", kept)
    with pytest.raises(ValueError, match=r"qa20_agents-motivations_test.txt' \(1 of"):
        read_archive(path, "en")


def test_a_damaged_archive_is_an_error(tmp_path):
    path = write_archive(tmp_path / "babi.tar.gz", members())
    content = path.read_bytes()
    # Cut short, changed inside, and another file altogether.
    middle = len(content) // 2
    changed = content[:middle] + b"\xff" * 50 + content[middle + 50 :]
    for damaged in (content[:-200], content[:middle], changed, b"<html>"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"babi.tar.gz' to be a complete"):
            read_archive(path, "en")
