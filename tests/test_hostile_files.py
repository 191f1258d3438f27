"""Readers of files against mutants of good files: a clear error or a correct load.

The few mutants of the normal run are the first of those that `-m slow -s` reads, which
prints how many were read and refused.
"""

import gzip
import importlib.util
import io
import json
import shutil
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import torch
import yaml

from pyg_relational._files import read_json, read_verified, write_verified
from pyg_relational.cli.commands import parse
from pyg_relational.data.convert import Conversion, convert
from pyg_relational.datasets import sudoku as sudoku_files
from pyg_relational.datasets.babi import TASKS, read_archive
from pyg_relational.datasets.chickenpox import read_series
from pyg_relational.datasets.clutrr import read_chains
from pyg_relational.datasets.embedding_cache import FILE_NAME, EmbeddingCache
from pyg_relational.datasets.nlvr import read_statements
from pyg_relational.datasets.ogb import check_folder, find_folder
from pyg_relational.datasets.sick import COLUMNS, read_sentence_pairs
from pyg_relational.models import RelationNetwork
from pyg_relational.train.callbacks import KEYS, read_checkpoint
from pyg_relational.train.recipe import known_options, load_recipe, resolve
from pyg_relational.train.run_folder import IDENTITY, read_config, save_model
from pyg_relational.train.weights import load_weights

_spec = importlib.util.spec_from_file_location(
    "hostile", Path(__file__).with_name("hostile.py")
)
assert _spec is not None
assert _spec.loader is not None
hostile = importlib.util.module_from_spec(_spec)
sys.modules["hostile"] = hostile
_spec.loader.exec_module(hostile)

FEW, MANY = 12, 1000
ARGS = {"in_channels": 3, "out_channels": 2, "relation_channels": [4]}
SPEC = {"class": "RelationNetwork", "args": {**ARGS, "readout_channels": [4]}}
NUMBERS = RelationNetwork(**SPEC["args"]).state_dict()
RECIPE = {
    "name": "tiny",
    "description": "A small Sort-of-CLEVR.",
    "dataset": {"class": "SortOfCLEVR", "root": "data", "args": {"num_train": 32}},
    "model": "relation",
    "models": {"relation": SPEC},
    "sizes": {"laptop": {}},
    "search": {"model.args.dropout": {"low": 0.0, "high": 0.5}},
    "optimizer": {
        "class": "Adam",
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "warmup_steps": 1,
    },
    "budget": {"max_epochs": 1, "batch_size": 8, "validate_every": 1, "patience": 1},
}
SUDOKU = "000000010400000000020000000000050407008000300" + (
    "001090000300400200050100000000806000"
)
FACTS = {"version": "1", "split": "scaffold", "url": "x/esol.zip"}
FACTS |= {"download_name": "esol"}
OGB = {
    "raw/num-node-list.csv.gz": "2\n1\n",
    "raw/num-edge-list.csv.gz": "1\n0\n",
    "raw/graph-label.csv.gz": "0.5\n-1.5",
    "raw/node-feat.csv.gz": "5,0\n6,0\n7,0\n",
    "raw/edge.csv.gz": "0,1\n",
    "raw/edge-feat.csv.gz": "0,0,0\n",
    "split/scaffold/train.csv.gz": "0\n",
    "split/scaffold/valid.csv.gz": "1\n",
    "split/scaffold/test.csv.gz": "",
}


@dataclass(frozen=True)
class Kind:
    """Good files of a kind, which of them are changed, and who reads them."""

    write: Callable[[Path], None]
    read: Callable[[Path], object]
    files: tuple[str, ...]


KINDS: dict[str, Kind] = {}


def kind(
    name: str, read: Callable[[Path], object], *files: str
) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    def add(write: Callable[[Path], None]) -> Callable[[Path], None]:
        KINDS[name] = Kind(write, read, files)
        return write

    return add


def read_weights(folder: Path) -> object:
    spec = read_json(folder / "config.json")
    model = load_weights(folder / "model.safetensors", spec, "fetch it again")
    # Never other numbers than those that were saved.
    for name, weight in NUMBERS.items():
        assert torch.equal(model.state_dict()[name], weight), name
    return model


@kind("checkpoint, model.safetensors", read_weights, "model.safetensors")
@kind("checkpoint, config.json", read_weights, "config.json")
def write_model(folder: Path) -> None:
    model = RelationNetwork(**SPEC["args"])
    model.load_state_dict(NUMBERS)
    save_model(folder, model, SPEC)


def read_last(folder: Path) -> object:
    content = read_checkpoint(folder / "last.ckpt")
    assert torch.equal(content["state_dict"]["weight"], torch.arange(12.0))
    return content


@kind("checkpoint, last.ckpt", read_last, "last.ckpt")
def write_last(folder: Path) -> None:
    content: dict[str, Any] = dict.fromkeys(KEYS, 1)
    content["state_dict"] = {"weight": torch.arange(12.0)}
    torch.save(content, folder / "last.ckpt")


def read_recipe(folder: Path) -> object:
    return known_options(resolve(load_recipe(str(folder / "tiny.yaml"))))


@kind("config, recipe", read_recipe, "tiny.yaml")
def write_recipe(folder: Path) -> None:
    (folder / "tiny.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False))


@kind("config, config.yaml", read_config, "config.yaml")
def write_config(folder: Path) -> None:
    config = {**dict.fromkeys(IDENTITY, "a"), "model": SPEC, "dataset": {"root": "b"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def read_options(folder: Path) -> object:
    argv = ["train", "babi", "--config", str(folder / "options.yaml")]
    return parse(argv)


@kind("config, --config", read_options, "options.yaml")
def write_options(folder: Path) -> None:
    options = {"seed": 3, "epochs": 2, "set": {"model.args.dropout": 0.5}}
    (folder / "options.yaml").write_text(yaml.safe_dump(options))


CONTENT = {"data": {"x": torch.arange(6.0)}, "slices": {"x": torch.tensor([0, 6])}}


def read_cache(folder: Path) -> object:
    content = read_verified(folder / "a.pt")
    if content is not None:
        assert torch.equal(content["data"]["x"], CONTENT["data"]["x"])
    return content


@kind("cache, dataset", read_cache, "a.pt", "a.pt.sha256.json")
def write_cache(folder: Path) -> None:
    write_verified(folder / "a.pt", CONTENT)


def read_signed(folder: Path) -> object:
    import hashlib

    content = (folder / "a.pt").read_bytes()
    record = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "a.pt.sha256.json").write_text(json.dumps(record))
    return read_verified(folder / "a.pt")


KINDS["cache, dataset with its checksum"] = Kind(write_cache, read_signed, ("a.pt",))


def encode(places: list[int]) -> list[torch.Tensor]:
    return [torch.arange(8.0) + place for place in places]


def read_embeddings(folder: Path) -> object:
    original = (folder / FILE_NAME).read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = EmbeddingCache(folder, "e").embeddings([b"a", b"b"], encode)
    # Right ones: those of the file, or computed again.
    assert torch.equal(torch.stack(found), torch.stack(encode([0, 1])))
    return original


@kind("cache, embeddings", read_embeddings, FILE_NAME)
def write_embeddings(folder: Path) -> None:
    EmbeddingCache(folder, "e").embeddings([b"a", b"b"], encode)


def scenes() -> list[nx.Graph]:
    out = []
    for number in range(3):
        graph = nx.DiGraph(answer=number % 2)
        graph.add_node(0, colour="red", size=1.5)
        graph.add_node(1, colour="blue", size=float(number))
        graph.add_edge(0, 1, kind="near")
        out.append(graph)
    return out


def reader_of_scenes(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        out = folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        return convert(folder / name, out, Conversion(bad="skip"))

    return read


def write_scenes(folder: Path, name: str) -> None:
    linked = [nx.node_link_data(graph, edges="edges") for graph in scenes()]
    if name.startswith("a.jsonl"):
        text = "\n".join(map(json.dumps, linked))
    elif name == "a.graphml":
        file = io.BytesIO()
        nx.write_graphml(scenes()[1], file)
        text = file.getvalue().decode()
    elif name == "a.gml":
        text = "\n".join(nx.generate_gml(scenes()[1]))
    else:
        text = json.dumps(linked)
    content = text.encode()
    packed = name.endswith(".gz")
    (folder / name).write_bytes(gzip.compress(content) if packed else content)


for _name in ("a.json", "a.jsonl", "a.graphml", "a.gml", "a.jsonl.gz"):
    KINDS[f"scene, {_name[2:]}"] = Kind(
        lambda folder, name=_name: write_scenes(folder, name),  # type: ignore[misc]
        reader_of_scenes(_name),
        (_name,),
    )


@kind(
    "dataset, babi", lambda folder: read_archive(folder / "a.tar.gz", "en"), "a.tar.gz"
)
def write_babi(folder: Path) -> None:
    story = b"1 Mary moved to the hall.\n2 Where is Mary? \thall\t1\n"
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        for task, name in enumerate(TASKS, 1):
            for split in ("train", "test"):
                info = tarfile.TarInfo(f"en/qa{task}_{name}_{split}.txt")
                info.size = len(story)
                archive.addfile(info, io.BytesIO(story))


@kind("dataset, sick", lambda folder: read_sentence_pairs(folder / "a.txt"), "a.txt")
def write_sick(folder: Path) -> None:
    rows = ["\t".join(COLUMNS), *["9\tA dog\tAn animal\t4.5\tENTAILMENT"] * 3]
    (folder / "a.txt").write_text("\n".join(rows) + "\n")


@kind("dataset, nlvr", lambda folder: read_statements(folder / "a.json"), "a.json")
def write_nlvr(folder: Path) -> None:
    item = {"x_loc": 3, "y_loc": 8, "size": 20, "type": "square", "color": "Yellow"}
    content = {"sentence": "A tower.", "label": "true", "identifier": "12-3"}
    content = json.dumps(content | {"structured_rep": [[item], [], [item]]})
    (folder / "a.json").write_text(f"{content}\n{content}\n")


@kind("dataset, clutrr", lambda folder: read_chains(folder / "a.zip", "a.csv"), "a.zip")
def write_clutrr(folder: Path) -> None:
    head = "story,query,target,story_edges,edge_types,query_edge"
    row = 'A,B,aunt,"[(0, 1), (1, 2)]","[\'father\', \'sister\']","(0, 2)"'
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("a.csv", "\n".join([head, row, row]) + "\n")


@kind(
    "dataset, chickenpox",
    lambda folder: read_series(folder / "a.json"),
    "a.json",
)
def write_chickenpox(folder: Path) -> None:
    content = {"edges": [[0, 1]], "node_ids": {"A": 0, "B": 1}, "FX": [[1, 2.5]] * 9}
    (folder / "a.json").write_text(json.dumps(content))


def read_sudoku(folder: Path) -> object:
    puzzles, _ = sudoku_files._parse(folder / "a.gz")
    return puzzles


@kind("dataset, sudoku", read_sudoku, "a.gz")
def write_sudoku(folder: Path) -> None:
    (folder / "a.gz").write_bytes(gzip.compress(f"{SUDOKU}\n{SUDOKU}\n".encode()))


@kind("dataset, ogb folder", lambda folder: check_folder(folder, FACTS), *OGB)
def write_ogb(folder: Path) -> None:
    (folder / "RELEASE_v1.txt").touch()
    for name, text in OGB.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(gzip.compress(text.encode()))


def read_ogb_archive(folder: Path) -> object:
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    shutil.copyfile(folder / "esol.zip", root / "esol.zip")
    return find_folder("ogbg-molesol", root, FACTS)


@kind("dataset, ogb archive", read_ogb_archive, "esol.zip")
def write_ogb_archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "esol.zip", "w") as archive:
        for name, text in OGB.items():
            archive.writestr(f"esol/{name}", text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    made = tmp_path / "around" / "folder"
    made.mkdir(parents=True)
    monkeypatch.chdir(made)
    return made


def fuzz(name: str, folder: Path, count: int) -> None:
    case = KINDS[name]
    case.write(folder)
    assert case.read(folder) is not None or "ogb folder" in name
    case.write(folder)
    found = hostile.timed(name, folder, list(case.files), case.read, count)
    assert sum(found.values()) == count


@pytest.mark.parametrize("name", KINDS)
def test_some_mutants(name: str, folder: Path) -> None:
    fuzz(name, folder, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_thousand_mutants(name: str, folder: Path) -> None:
    fuzz(name, folder, MANY)


def test_a_reader_that_runs_code_is_noticed(folder: Path) -> None:
    import pickle

    (folder / "a.pkl").write_bytes(pickle.dumps([1]))

    def read(folder: Path) -> object:
        try:
            return pickle.loads((folder / "a.pkl").read_bytes())
        except Exception as error:
            raise ValueError("damaged") from error

    with pytest.raises(AssertionError):
        hostile.run(folder, ["a.pkl"], read, 200)
