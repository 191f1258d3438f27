import gzip
import json
import os
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import torch

from pyg_relational.cli import main
from pyg_relational.data import SceneEncoder
from pyg_relational.data import convert as convert_shards
from pyg_relational.data.convert import Conversion, convert
from pyg_relational.data.scenes.files import pieces, read_piece
from pyg_relational.datasets import SceneDataset


def scene(number: int) -> nx.DiGraph:
    graph = nx.DiGraph(number=number)
    for node in range(3):
        graph.add_node(f"n{node}", size=float(number + node), colour="red")
    graph.add_edge("n0", "n1", relation="left")
    return graph


def text(graph: nx.Graph) -> str:
    return json.dumps(nx.node_link_data(graph, edges="edges"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "scenes"
    (folder / "more").mkdir(parents=True)
    lines = "".join(text(scene(number)) + "\n" for number in range(20))
    (folder / "many.jsonl").write_text(lines)
    (folder / "two.json").write_text(f"[{text(scene(20))}, {text(scene(21))}]")
    (folder / "more" / "one.json.gz").write_bytes(
        gzip.compress(text(scene(22)).encode())
    )
    return folder


def numbers(dataset: SceneDataset) -> list[int]:
    return [dataset.encoder.inverse_transform(data).graph["number"] for data in dataset]


def test_every_scene_comes_back_once(source: Path, tmp_path: Path) -> None:
    how = Conversion(shard_size=4, split=(0.5, 0.25, 0.25))
    report = convert(source, tmp_path / "out", how)
    assert report["scenes"] == 23
    whole = SceneDataset(tmp_path / "out")
    assert sorted(numbers(whole)) == list(range(23))
    back = whole.encoder.inverse_transform(whole[0])
    assert nx.utils.graphs_equal(back, scene(back.graph["number"]))
    parts = [
        SceneDataset(tmp_path / "out", split) for split in ("train", "val", "test")
    ]
    assert sorted(n for part in parts for n in numbers(part)) == list(range(23))
    assert [len(part) for part in parts] == [*report["splits"].values()]
    assert min(map(len, parts)) > 0
    # Numbers are standardised by the training scenes.
    sizes = torch.tensor([n + node for n in numbers(parts[0]) for node in range(3)])
    size = next(a for a in whole.encoder.attributes if a.name == "size")
    assert size.mean == pytest.approx([sizes.float().mean().item()])


def test_other_formats(tmp_path: Path) -> None:
    nx.write_graphml(scene(1), tmp_path / "a.graphml")
    nx.write_gml(scene(2), tmp_path / "b.gml.gz")
    found = [read_piece(piece, tmp_path) for piece in pieces(tmp_path)]
    assert [(row[0][0], row[0][2]) for row in found] == [
        ("'a.graphml'", ""),
        ("'b.gml.gz'", ""),
    ]
    (first,), (second,) = found
    assert dict(first[1].nodes["n0"]) == {"size": 1.0, "colour": "red"}
    assert second[1].nodes[0] == {"label": "n0", "size": 2.0, "colour": "red"}


def test_workers_and_shard_sizes_change_nothing(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "a", Conversion(shard_size=7))
    convert(source, tmp_path / "b", Conversion(shard_size=3, workers=2))
    one, two = SceneDataset(tmp_path / "a"), SceneDataset(tmp_path / "b")
    assert numbers(one) == numbers(two)
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a.x, b.x)


def test_an_interrupted_conversion_goes_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, how = tmp_path / "out", Conversion(shard_size=5)
    right, written = convert_shards.write_verified, []

    def interrupted(path: Path, content: Any) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        right(path, content)

    monkeypatch.setattr(convert_shards, "write_verified", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(source, out, how)
    with pytest.raises(ValueError, match="holds no finished conversion"):
        SceneDataset(out)
    kept = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.setattr(convert_shards, "write_verified", right)
    convert(source, out, how)
    assert {path: path.stat().st_mtime_ns for path in written} == kept
    assert sorted(numbers(SceneDataset(out))) == list(range(23))
    assert not list(out.glob(".*"))


def test_a_full_disk_is_told_and_the_rest_kept(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Path.write_bytes

    def full(path: Path, content: Any) -> int:
        if "shard-000001" in path.name:
            raise OSError(28, "No space left on device")
        return right(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device.*free space"):
        convert(source, tmp_path / "out", Conversion(shard_size=5))
    monkeypatch.setattr(Path, "write_bytes", right)
    convert(source, tmp_path / "out", Conversion(shard_size=5))
    assert sorted(numbers(SceneDataset(tmp_path / "out"))) == list(range(23))


CYCLE = '<graphml><key id="a" for="node" attr.name="a" attr.type="colour"/></graphml>'
BAD = {
    "bad.jsonl": ("{}\n" + text(scene(0))[:40] + "\n", "'bad.jsonl', line 2: JSONDec"),
    "cut.json": (text(scene(0))[:50], "'cut.json': JSONDecodeError"),
    "other.json": ("[1]", "'other.json', scene 0: expected node-link JSON"),
    "type.graphml": (CYCLE, "'type.graphml': "),
    "broken.gml": ("graph [ node [", "'broken.gml': "),
    "end.json": (
        '{"nodes": [{"id": 1}], "edges": [{"source": 1, "target": 2}]}',
        "'end.json': an edge ends at a node that is not among 'nodes'",
    ),
    "deep.json": (
        '{"nodes": [{"id": 1, "v": ' + "[" * 40 + "]" * 40 + "}]}",
        "'deep.json': node 1, attribute 'v': is nested deeper than 32 levels",
    ),
    "cut.jsonl.gz": (None, "'cut.jsonl.gz', after line"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_scene_is_named_and_skipped_or_fatal(
    name: str, source: Path, tmp_path: Path
) -> None:
    content, message = BAD[name]
    if content is None:
        whole = gzip.compress((text(scene(30)) + "\n").encode() + os.urandom(2000))
        (source / name).write_bytes(whole[:-600])
    else:
        (source / name).write_text(content)
    with pytest.raises(ValueError, match="correct the scene, or leave out"):
        convert(source, tmp_path / "out", Conversion())
    report = convert(source, tmp_path / "skipped", Conversion(bad="skip"))
    places = [f"{row['place']}: {row['reason']}" for row in report["bad"]]
    assert any(place.startswith(message) for place in places), places
    found = numbers(SceneDataset(tmp_path / "skipped"))
    assert sorted(found)[:23] == list(range(23))
    assert message in (tmp_path / "skipped" / "report.md").read_text()


def test_scenes_that_contradict_a_saved_schema(source: Path, tmp_path: Path) -> None:
    SceneEncoder().fit([scene(1)]).save(tmp_path / "schema.json")
    other = scene(3)
    other.nodes["n1"]["size"] = "large"
    (source / "other.json").write_text(text(other))
    how = Conversion(schema=tmp_path / "schema.json")
    with pytest.raises(
        ValueError,
        match=r"'other\.json': node 'n1', attribute 'size': must be a number",
    ):
        convert(source, tmp_path / "out", how)


def test_links_that_leave_the_folder(source: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    (source / "link.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(ValueError, match=r"is a link to .* outside of"):
        convert(source, tmp_path / "out", Conversion())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": (0.5, 0.5)}, "'split' must be the shares"),
        ({"split": (0.0, 0.5, 0.5)}, "some for training"),
        ({"bad": "ignore"}, "'bad' must be 'skip' or 'fail'"),
        ({"workers": 0}, "'shard_size' and 'workers' must be at least 1"),
    ],
)
def test_options_that_do_not_fit(
    options: dict[str, Any], message: str, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        convert(source, tmp_path / "out", Conversion(**options))
    assert not (tmp_path / "out").exists()


def test_folders_that_do_not_fit(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not an empty folder"):
        convert(source, source, Conversion())
    convert(source, tmp_path / "out", Conversion())
    with pytest.raises(ValueError, match="holds a conversion with other seed"):
        convert(source, tmp_path / "out", Conversion(seed=1))
    (tmp_path / "scenes.zip").write_text("")
    with pytest.raises(ValueError, match="unpack archives first"):
        convert(tmp_path / "scenes.zip", tmp_path / "zip", Conversion())
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="holds no scenes"):
        convert(tmp_path / "none", tmp_path / "zip", Conversion())
    with pytest.raises(ValueError, match=r"'split' must be .*got 'valid'"):
        SceneDataset(tmp_path / "out", "valid")
    (tmp_path / "out" / "shard-000000.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"shard-000000\.pt' is missing or broken"):
        SceneDataset(tmp_path / "out")[0]


def test_command(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    arguments = ["convert", str(source), out, "--edge-type", "relation"]
    assert main([*arguments, "--targets", "[graph.number]"]) == 0
    assert "23 scenes (" in capsys.readouterr().out
    assert SceneDataset(out)[0].edge_type.tolist() == [0]
    assert main(["convert", str(tmp_path / "none"), out]) == 2
    assert "does not exist" in capsys.readouterr().err
