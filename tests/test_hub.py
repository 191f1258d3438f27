"""Models in folders and repositories of the hub; nothing here reaches a network."""

import hashlib
import importlib
import json
import pickle
import shutil
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
import yaml

pytest.importorskip("huggingface_hub")
from huggingface_hub.errors import EntryNotFoundError, HFValidationError

from pyg_relational._checks import UsageError
from pyg_relational.cli import main
from pyg_relational.hub import share as hub
from pyg_relational.models import DeepSets, RelationNetwork
from pyg_relational.train import recipe as recipes
from pyg_relational.train.run_folder import save_model

ARGS = {"in_channels": 4, "out_channels": 3, "relation_channels": [8]}
RESULTS = {
    "metric": "accuracy",
    "model": "relation",
    "baseline": {"model": "no-pairs", "training": {}},
    "test": {
        "all": {"all": {"ours": 0.9, "baseline": 0.5}},
        "kind": {"near": {"ours": 0.875, "baseline": 0.25}},
    },
}
CONFIG = {
    "recipe": "tiny",
    "size": "laptop",
    "representation": "state",
    "dataset": {"class": "SortOfCLEVR", "root": "/home/me/secret", "args": {"n": 3}},
    "model": {"class": "RelationNetwork", "args": ARGS},
    "optimizer": {},
    "seed": 7,
    "command": "pyg-relational train tiny --seed 7",
    "versions": {"torch": "2.13"},
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture
def model() -> RelationNetwork:
    torch.manual_seed(0)
    return RelationNetwork(**ARGS).eval()


@pytest.fixture
def run(tmp_path: Path, model: RelationNetwork) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    save_model(folder, model, CONFIG["model"])
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (folder / "results.json").write_text(json.dumps(RESULTS))
    return folder


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    x = torch.linspace(-1, 1, 20).view(5, 4)
    return torch.equal(one(x), other(x))


def test_a_model_returns_from_a_folder(tmp_path: Path, model: RelationNetwork) -> None:
    folder = hub.save_pretrained(model, tmp_path / "shared", args=ARGS)
    names = {path.name for path in folder.iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors"}
    description = json.loads((folder / "config.json").read_text())
    content = (folder / "model.safetensors").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    checksums = [{"bytes": len(content), "sha256": digest}]
    assert description == {**CONFIG["model"], "weights": checksums}
    loaded = hub.load_pretrained(folder)
    assert not loaded.training
    assert same(loaded, model)
    assert "Not recorded." in (folder / "README.md").read_text()


def test_a_run_is_shared_with_its_figures(
    tmp_path: Path, run: Path, model: RelationNetwork
) -> None:
    folder = hub.save_pretrained(run, tmp_path / "shared", licence="mit")
    assert same(hub.load_pretrained(folder), model)
    assert same(hub.load_pretrained(run), model)
    _, head, card = (folder / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "mit"
    assert yaml.safe_load(head)["library_name"] == "pyg-relational"
    assert "| Seed | `7` |" in card
    assert "| Command | `pyg-relational train tiny --seed 7` |" in card
    assert '`SortOfCLEVR` of `pyg_relational.datasets`, `{"n": 3}`' in card
    assert "| near | 87.5 | 25.0 |" in card
    assert "secret" not in card


def test_the_command(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shared"
    assert main(["share", str(run), str(out), "--licence", "mit"]) == 0
    assert capsys.readouterr().out == f"model: {out}\n"
    assert main(["share", str(run), str(out)]) == 2
    assert "is not an empty folder" in capsys.readouterr().err


def test_pushing_uploads_the_same_files(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, Any] = {}

    class Api:
        def __init__(self, token: str | None = None) -> None:
            kept["token"] = token

        def create_repo(self, repo_id: str, **options: Any) -> Any:
            return type("Url", (), {"repo_id": repo_id})

        def upload_folder(self, folder_path: Path, **options: Any) -> str:
            shutil.copytree(folder_path, tmp_path / "remote")
            return f"commit of {options['repo_id']}"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    assert hub.push_to_hub(run, "me/model", token="t") == "commit of me/model"
    assert kept["token"] == "t"
    local = hub.save_pretrained(run, tmp_path / "local")
    for path in local.iterdir():
        assert (tmp_path / "remote" / path.name).read_bytes() == path.read_bytes()


def test_a_repository_is_loaded_by_its_two_files(
    run: Path, model: RelationNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(repo_id: str, name: str, **options: Any) -> str:
        asked.append((repo_id, name, options))
        return str(run / name)

    monkeypatch.setattr(hub.huggingface_hub, "hf_hub_download", download)
    assert same(hub.load_pretrained("me/model", revision="v1"), model)
    options = {"revision": "v1"}
    assert asked == [
        ("me/model", "config.json", options),
        ("me/model", "model.safetensors", options),
    ]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (EntryNotFoundError("404\nmore"), r"lacks config.json or .* Pickled weights"),
        (HFValidationError("bad"), "neither a folder nor a repository"),
    ],
)
def test_a_repository_without_safetensors(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(repo_id: str, name: str, **options: Any) -> NoReturn:
        asked.append(name)
        raise error

    monkeypatch.setattr(hub.huggingface_hub, "hf_hub_download", download)
    with pytest.raises(UsageError, match=message):
        hub.load_pretrained("me/model")
    # The mixin would ask for `pytorch_model.bin` next.
    assert asked == ["config.json"]


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("trapped"),)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.safetensors"])
@pytest.mark.parametrize("bare", [True, False])
def test_pickles_are_refused(
    tmp_path: Path, name: str, bare: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG["model"]))
    path = tmp_path / name
    if bare:
        path.write_bytes(pickle.dumps(Trap()))
    else:
        torch.save(Trap(), path)
    for source in (tmp_path, path):
        with pytest.raises(UsageError, match="is a pickle, which may run any code"):
            hub.load_pretrained(source)
    assert not Path("trapped").exists()


def test_damaged_weights_are_noticed(tmp_path: Path, model: RelationNetwork) -> None:
    folder = hub.save_pretrained(model, tmp_path / "shared", args=ARGS)
    again = hub.SharedModel.from_pretrained(folder)
    assert again.spec == CONFIG["model"]
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"is damaged: .*; fetch it again"):
        hub.load_pretrained(folder)


OWN = """
from pyg_relational.models import DeepSets

class Mine(DeepSets):
    pass
"""


def test_classes_of_others_only_where_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "_allowed", set())
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "owned_models.py").write_text(OWN)
    module = importlib.import_module("owned_models")
    args = {"in_channels": 4, "out_channels": 3}
    mine = module.Mine(**args).eval()
    folder = hub.save_pretrained(mine, tmp_path / "shared", args=args)
    card = (folder / "README.md").read_text()
    assert "| Model | `Mine` of `owned_models` |" in card
    assert 'or owner/name on the hub", allow=["owned_models"])' in card
    monkeypatch.delitem(sys.modules, "owned_models")
    with pytest.raises(UsageError, match="'owned_models' need --allow owned_models"):
        hub.load_pretrained(folder)
    assert "owned_models" not in sys.modules
    loaded = hub.load_pretrained(folder, allow=["owned_models"])
    assert type(loaded).__module__ == "owned_models"
    assert same(loaded, mine)
    # Allowed once is not allowed for good.
    with pytest.raises(UsageError, match="need --allow"):
        hub.load_pretrained(folder)
    with pytest.raises(UsageError, match=r"list of modules, such as \[.owned_m"):
        hub.load_pretrained(folder, allow="owned_models")


def test_other_arguments_are_noticed(tmp_path: Path, model: RelationNetwork) -> None:
    other = {**ARGS, "relation_channels": [9]}
    with pytest.raises(UsageError, match="the weights do not fit RelationNetwork"):
        hub.save_pretrained(model, tmp_path / "shared", args=other)


def test_bad_requests(tmp_path: Path, model: RelationNetwork) -> None:
    with pytest.raises(UsageError, match="pass them as 'args'"):
        hub.save_pretrained(model, tmp_path / "shared")
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder"):
        hub.save_pretrained(model, tmp_path, args=ARGS)
    assert (tmp_path / "README.md").read_text() == "mine"
    with pytest.raises(UsageError, match=r"has no config\.json"):
        hub.load_pretrained(tmp_path)
    with pytest.raises(UsageError, match="is a file; give the folder"):
        hub.load_pretrained(tmp_path / "README.md")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"class": "os.system", "args": {}}, "only name classes of pyg_relational"),
        ([1], "must be a mapping with 'class'"),
        ({"class": "DeepSets"}, "must be a mapping with 'class'"),
        (
            {"class": "DeepSets", "args": {"in_channels": 10**9, "out_channels": 1}},
            "'in_channels' is 1000000000, more than the",
        ),
        (
            {"class": "DeepSets", "args": {"in_channels": 9999, "out_channels": 9999}},
            "the weights do not fit DeepSets, which has",
        ),
    ],
)
def test_hostile_descriptions(tmp_path: Path, spec: object, message: str) -> None:
    args = {"in_channels": 2, "out_channels": 1}
    hub.save_pretrained(DeepSets(**args), tmp_path / "a", args=args)
    (tmp_path / "a" / "config.json").write_text(json.dumps(spec))
    with pytest.raises(UsageError, match=message):
        hub.load_pretrained(tmp_path / "a")
