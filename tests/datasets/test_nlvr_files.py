import json
import math

import pytest

from pyg_relational.datasets.nlvr import Item, parse_statement, read_statements

ITEM = {"x_loc": 3, "y_loc": 80, "size": 20, "type": "square", "color": "Yellow"}


def document(**changes):
    return {
        "sentence": "There is a tower.",
        "label": "true",
        "identifier": "12-3",
        "directory": "0",
        "evals": {"r0": "false"},
        "structured_rep": [[ITEM], [], [ITEM, {**ITEM, "color": "#0099ff"}]],
        **changes,
    }


def lines(*documents):
    return "".join(json.dumps(document) + "\n" for document in documents)


def test_a_statement():
    statement = parse_statement(json.dumps(document()))
    assert statement.sentence == "There is a tower."
    assert statement.identifier == (12, 3)
    assert statement.label == 1
    assert statement.boxes == (
        (Item(3, 80, 20, 1, 0),),
        (),
        (Item(3, 80, 20, 1, 0), Item(3, 80, 20, 1, 2)),
    )
    other = parse_statement(json.dumps(document(label="FALSE")))
    assert other.label == 0


def test_files_end_as_they_like(tmp_path):
    path = tmp_path / "dev.json"
    for content in (lines(document(), document()), lines(document())[:-1]):
        path.write_text(content)
        assert len(read_statements(path)) == content.count('"12-3"')
    # Another system's line ends.
    path.write_bytes(lines(document(), document()).replace("\n", "\r\n").encode())
    assert len(read_statements(path)) == 2


def item(**changes):
    return {"structured_rep": [[], [ITEM, {**ITEM, **changes}], []]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (json.dumps(document())[:-20], "expected a JSON document .* character"),
        ("", "expected a JSON document"),
        ("[]", "expected a JSON object"),
        (document(sentence=7), "'sentence' to be a text, got 7"),
        (document(sentence="  "), "'sentence' to have words"),
        (document(identifier=None), "'identifier' to be a text, got None"),
        (document(identifier="12"), "'identifier' to be like '12-3', got '12'"),
        (document(label="maybe"), "'label' to be one of false, true, got 'maybe'"),
        (document(label=True), "'label' to be one of false, true, got True"),
        (document(structured_rep=[[], []]), "a list of 3 boxes"),
        (document(structured_rep={}), "a list of 3 boxes"),
        (document(structured_rep=[[], 1, []]), "box 2 to be a list of objects"),
        (document(structured_rep=[[], [], [1]]), "box 3: expected an object, got 1"),
        (document(**item(x_loc=-1)), "box 2: expected 'x_loc' .*0 to 100, got -1"),
        (document(**item(y_loc=101)), "'y_loc' .*0 to 100, got 101"),
        (document(**item(size=math.nan)), "'size' .*got nan"),
        (document(**item(size="20")), "'size' to be a number .*got '20'"),
        (document(**item(size=True)), "'size' to be a number .*got True"),
        (document(**item(type="cube")), "'type' .*circle, square, triangle.*'cube'"),
        (document(**item(color="red")), "'color' .*yellow, black, #0099ff.*'red'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    text = line if isinstance(line, str) else json.dumps(line)
    path = tmp_path / "dev.json"
    path.write_text(lines(document()) + text + "\n" + lines(document()))
    with pytest.raises(ValueError, match=f"^dev.json, line 2: .*{message}"):
        read_statements(path)


@pytest.mark.parametrize("name", ["sentence", "label", "identifier", "structured_rep"])
def test_a_missing_field_is_named(name):
    content = document()
    del content[name]
    with pytest.raises(ValueError, match=f"'{name}' is missing"):
        parse_statement(json.dumps(content))


def test_a_missing_field_of_an_object_is_named():
    content = document(structured_rep=[[{"x_loc": 1}], [], []])
    with pytest.raises(ValueError, match="box 1: 'y_loc' is missing"):
        parse_statement(json.dumps(content))


def test_bytes_that_are_no_text_are_named(tmp_path):
    path = tmp_path / "test.json"
    path.write_bytes(lines(document()).encode() + b'{"sentence": "\xff"}\n')
    with pytest.raises(ValueError, match=r"^test\.json, line 2: "):
        read_statements(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"^test\.json, line 1: "):
        read_statements(path)
