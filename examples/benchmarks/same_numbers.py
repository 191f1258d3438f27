"""Records what a reorganisation must not change, and compares it to the bit.

    python examples/benchmarks/same_numbers.py record before.json
    python examples/benchmarks/same_numbers.py compare before.json
    python examples/benchmarks/same_numbers.py runs FOLDER

`record` writes and `compare` computes again, with whatever package `PYTHONPATH` names:
recipes (weights and test figures after 20 steps), models (outputs and gradients from
seed 0), datasets (all samples at a small size) and names (public signatures, which are
reported only). The exit status of `compare` is 1 if anything differs. `runs` trains
five runs into a new folder and records what `evaluate` and `predict` print; in a folder
that has them it compares instead.

Tensors are compared by a hash of type, shape and bytes in their order, whatever their
names. Raw data is read where `PYG_RELATIONAL_DATA` says, else in `../shared/data`;
what needs a missing file is skipped and named.
"""

import argparse
import difflib
import hashlib
import importlib
import inspect
import json
import os
import pkgutil
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

# Before torch is imported, and for all processes that are started.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", COLUMNS="200")
os.environ.update(OUTDATED_IGNORE="1")

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

PROGRAM = (sys.executable, "-m", "pyg_relational")
REPOSITORY = Path(__file__).resolve().parents[2]
RAW = Path(
    os.environ.get("PYG_RELATIONAL_DATA") or REPOSITORY.parent / "shared" / "data"
)
SECTIONS = ("recipes", "models", "datasets", "names")
STEPS = 20
SAMPLES = {"num_train": 640, "num_val": 64, "num_test": 64}
# Arguments of datasets that make a recipe small; others have all of their samples.
SMALL: dict[str, dict[str, Any]] = {
    "babi": {"tasks": [1, 2, 15]},
    **dict.fromkeys(
        (
            *("digits", "moving-shapes", "nth-farthest", "sort-of-clevr"),
            *("spring-motion", "springs", "sudoku", "systems"),
        ),
        SAMPLES,
    ),
}
# Further options of recipes whose batches take long.
SHORT = {"sort-of-clevr/pixels": ["--batch-size", "4"]}
# Lines of each file of SICK: MiniLM embeds a few dozen sentences a second.
SICK_LINES = 121
# Names of arguments that were changed on purpose; the first that is known is used.
RENAMED: dict[str, tuple[str, ...]] = {
    "aggr": ("reduce",),
    "reduce": ("aggr",),
    "head_channels": ("readout_channels",),
    "embedding_channels": ("object_channels",),
    "edge_index": ("edge_label_index",),
}


# Hashes.


def digest(*values: Any) -> str:
    """Hash tensors by type, shape and bytes, and everything else by its `repr`."""
    found = hashlib.sha256()
    for value in values:
        if isinstance(value, Tensor):
            rows = value.detach().cpu().contiguous()
            found.update(f"{rows.dtype}{tuple(rows.shape)}".encode())
            found.update(rows.reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            found.update(repr(value).encode())
    return found.hexdigest()


def described(tensors: Iterable[tuple[str, Tensor]]) -> list[list[str]]:
    """Return the hash, the type with shape, and the name of each tensor, in order."""
    return [
        [digest(t), f"{str(t.dtype).removeprefix('torch.')}{list(t.shape)}", name]
        for name, t in tensors
    ]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors_in(part)


def figures_in(value: Any, place: str = "") -> dict[str, str]:
    """Return the numbers of nested dictionaries, exactly, by where they stand."""
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for key, part in value.items():
            found |= figures_in(part, f"{place}/{key}".strip("/"))
        return found
    return {place: repr(value)} if isinstance(value, (int, float)) else {}


# Recipes, by the command line and the files of run folders.


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the package in a process of its own."""
    return subprocess.run([*PROGRAM, *words], capture_output=True, text=True)


def listed_runs() -> dict[str, list[str]]:
    """Return the options that train each model of each recipe that `list` prints; a
    default model trains its baseline too."""
    runs: dict[str, list[str]] = {}
    recipe, seen = "", set()
    text = command("list").stdout.partition("benchmarks:")[0]
    # A name follows the options of the recipe before; descriptions may go on for lines.
    starts = True
    for line in text.splitlines()[1:]:
        if starts and (match := re.match(r"  ([a-z][\w-]*): ", line)):
            recipe = match[1]
        starts = line.startswith("    ")
        if not (match := re.search(r"--model (.*)", line)):
            continue
        kind = re.search(r"--representation (\S+)", line)
        chosen = ["--representation", kind[1]] if kind else []
        for model in match[1].split(", "):
            place = "/".join([recipe, *chosen[1:], model])
            first = place.rpartition("/")[0] not in seen
            seen.add(place.rpartition("/")[0])
            others = [] if first else ["--no-baseline"]
            others += SHORT.get(place.rpartition("/")[0], [])
            runs[place] = [recipe, *chosen, "--model", model, *others]
    return runs


def training(options: list[str], run: Path, data: Path) -> list[str]:
    """Return the command that trains a model for a few steps."""
    recipe = options[0]
    settings = {f"dataset.args.{k}": v for k, v in SMALL.get(recipe, {}).items()}
    return [
        *("train", *options, "--max-steps", str(STEPS), "--seed", "0"),
        *("--threads", "1", "--accelerator", "cpu", "--set", json.dumps(settings)),
        *("--run-dir", str(run), "--data-root", str(data / recipe)),
    ]


def weights_of(folder: Path) -> dict[str, Any]:
    """Return the last and the best weights of a run."""
    found = {"best": described(sorted(load_file(folder / "model.safetensors").items()))}
    last = folder / "checkpoints" / "last.ckpt"
    if last.is_file():
        state = torch.load(last, map_location="cpu", weights_only=True)
        found["last"] = described(state["state_dict"].items())
    return found


def train(place: str, options: list[str], folder: Path) -> dict[str, Any]:
    """Train one model, return its weights and figures or what stopped it."""
    run = folder / "runs" / place.replace("/", "-")
    done = command(*training(options, run, folder / "data"))
    if done.returncode:
        error = done.stderr.strip()[-600:].replace(str(folder), "FOLDER")
        missing = "PYG_RELATIONAL_DATA" in error or "pip install" in error
        return {"options": options, "skipped" if missing else "failed": error}
    results = json.loads((run / "results.json").read_text())
    found = {"options": options, "figures": figures_in(results["test"])}
    found["weights"] = weights_of(run)
    if (run / "baseline").is_dir():
        found["baseline"] = weights_of(run / "baseline")
    shutil.rmtree(run)
    return found


def record_recipes(known: dict[str, Any], jobs: int) -> dict[str, Any]:
    """Train all models that are known from a record, else those that are listed."""
    runs = {place: entry["options"] for place, entry in known.items()} or listed_runs()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(jobs) as pool:
        place_raw_data(Path(name))

        def timed(item: tuple[str, list[str]]) -> tuple[str, dict[str, Any]]:
            start = time.perf_counter()
            # A run that is stopped from outside ends without an error.
            found = attempt(lambda: train(*item, Path(name)))
            state = {"failed", "skipped"} & set(found)
            say(item[0], *state, f"{time.perf_counter() - start:.0f} s")
            return item[0], found

        return dict(pool.map(timed, runs.items()))


def place_raw_data(folder: Path) -> None:
    """Let processes find raw data: links to all there is, and the first lines of
    SICK."""
    raw = folder / "raw"
    raw.mkdir()
    for path in RAW.iterdir() if RAW.is_dir() else ():
        if path.name != "sick":
            (raw / path.name).symlink_to(path)
            continue
        (raw / "sick").mkdir()
        for file in path.iterdir():
            lines = file.read_bytes().splitlines(keepends=True)[:SICK_LINES]
            (raw / "sick" / file.name).write_bytes(b"".join(lines))
    os.environ["PYG_RELATIONAL_DATA"] = str(raw)


# Models and layers, by the names that the subpackages export.


def graphs() -> dict[str, Any]:
    """Return one batch of graphs with everything that a model may read."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def whole(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    def words(*shape: int) -> Tensor:
        # 0 fills up a text behind its words.
        lengths = 1 + whole(shape[1], shape[0], 1)
        return (1 + whole(11, *shape)).where(torch.arange(shape[1]) < lengths, 0)

    sizes = (3, 1, 4, 2)
    samples = []
    for size in sizes:
        pairs = torch.cartesian_prod(torch.arange(size), torch.arange(size))
        # Sorted by target: [E, 2] -> [2, E]
        pairs = pairs.flip(1).t()
        edges = pairs[:, torch.rand(pairs.size(1), generator=generator) < 0.6]
        samples.append(
            Data(
                x=normal(size, 5),
                u=normal(1, 2),
                edge_index=edges,
                edge_attr=normal(edges.size(1), 3),
                edge_label_index=pairs[:, pairs[0] != pairs[1]],
                frames=normal(size, 4, 5),
                mask=torch.rand(size, 4, generator=generator) < 0.65,
                relations=normal(edges.size(1), 3).softmax(dim=1),
                sentences=words(size, 5),
                question=words(1, 4),
                position=torch.arange(size).flip(0),
                side=whole(2, size),
                image=torch.rand(1, 3, 12, 12, generator=generator),
                both=normal(2, 5),
                statement=whole(12, 3),
                num_nodes=size,
            )
        )
    batch = Batch.from_data_list(samples)
    found = batch.to_dict()
    found["batch_size"] = len(sizes)
    found["sentence_batch"] = torch.arange(len(sizes)).repeat_interleave(3)
    # [N, K] with [E, 3] as an edge from each node to the next
    triples = [(0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 9), (1, 5, 9)]
    found["triples"] = torch.tensor(triples).t().contiguous()
    return found


SET = {key: key for key in ("x", "batch", "batch_size")}
ASKED = SET | {"u": "u"}
EDGES = SET | {"edge_index": "edge_index", "edge_attr": "edge_attr"}
FRAMES = {"x": "frames", "mask": "mask", "batch": "batch", "batch_size": "batch_size"}
AGGREGATION = {"x": "x", "index": "batch", "dim_size": "batch_size"}
STORY = {"x": "sentences", "question": "question", "position": "position"} | {
    "batch": "batch",
    "batch_size": "batch_size",
}
STATEMENT = SET | {"sentence": "statement", "sentence_batch": "sentence_batch"}
PAIRS = {"x": "x", "edge_index": "edge_index", "edge_attr": "relations"} | {
    "edge_label_index": "edge_label_index",
    "batch": "batch",
    "batch_size": "batch_size",
}


class Spec:
    """A class by name with its arguments, which may be further specifications."""

    def __init__(self, name: str, **arguments: Any) -> None:
        self.name = name
        self.arguments = arguments

    def build(self) -> nn.Module:
        """Make the module."""
        found = None
        for room in ("models", "nn"):
            module = importlib.import_module(f"pyg_relational.{room}")
            found = found or getattr(module, self.name, None)
        if found is None:
            raise AttributeError(f"no class {self.name} in models and nn")
        arguments = {
            key: value.build() if isinstance(value, Spec) else value
            for key, value in self.arguments.items()
        }
        return found(**known_names(found.__init__, arguments))


def known_names(function: Callable[..., Any], arguments: dict[str, Any]) -> dict:
    """Give arguments the names that a function knows them by."""
    parameters = inspect.signature(function).parameters
    return {
        next((n for n in (key, *RENAMED.get(key, ())) if n in parameters), key): value
        for key, value in arguments.items()
    }


def pair(*channels: int, width: int = 5, **others: Any) -> Spec:
    return Spec("PairwiseMLP", in_channels=width, channel_list=channels, **others)


def small(name: str, **arguments: Any) -> Spec:
    """A model from objects of 5 features to 3 answers."""
    return Spec(name, in_channels=5, out_channels=3, **arguments)


HIDDEN = {"relation_channels": [8, 6], "readout_channels": [8]}
STATES = {"hidden_channels": 4, "relation_channels": [6, 3], "head_channels": [7]}
RECURRENT = {
    "hidden_channels": 4,
    "relation_channels": [6, 6],
    "embedding_channels": [7],
    "readout_channels": [8],
    "steps": 3,
}
STORY_REASONER = Spec("RelationNetwork", in_channels=12, out_channels=5, u_dim=4)
STORY_REASONER.arguments |= HIDDEN
Case = tuple[Spec, dict[str, str]]


def model_cases() -> dict[str, Case]:
    """Return every layer and model with the inputs it is given."""
    edge_u = {"edge_dim": 3, "u_dim": 2}
    cases: dict[str, Case] = {
        "relation": (small("RelationNetwork", **HIDDEN, u_dim=2), ASKED),
        "relation-edges": (
            small("RelationNetwork", **HIDDEN, object_channels=[7], **edge_u),
            EDGES | {"u": "u"},
        ),
        "relation-one-layer": (
            small("RelationNetwork", relation_channels=[16], readout_channels=[8]),
            SET,
        ),
        "relation-dropout": (
            small("RelationNetwork", **HIDDEN, dropout=0.3, plain_last=True),
            SET,
        ),
        "deep-sets": (
            small("DeepSets", object_channels=[8, 6], readout_channels=[8], u_dim=2),
            ASKED,
        ),
        "pair-relation": (
            small("PairRelation", relation_channels=[8], edge_dim=3),
            EDGES,
        ),
        "graph-attention": (
            small(
                "GraphAttentionNetwork",
                hidden_channels=8,
                num_layers=2,
                heads=2,
                edge_dim=3,
                relation_channels=[6],
            ),
            {k: v for k, v in PAIRS.items() if k[:5] != "batch"},
        ),
        "composition": (
            Spec(
                "RelationCompositionNetwork",
                num_relations=3,
                relation_channels=[6, 5],
                steps=3,
            ),
            PAIRS,
        ),
        "composition-cell": (
            Spec("RelationCompositionCell", num_relations=3, nn=pair(6, 4, width=3)),
            {"x": "relations", "triples": "triples"},
        ),
        "memory-network": (
            small(
                "RelationalMemoryNetwork",
                slots=3,
                heads=2,
                head_channels=4,
                readout_channels=[8],
            ),
            SET,
        ),
        "pixels": (
            Spec(
                "PixelRelationNetwork",
                in_channels=3,
                out_channels=3,
                conv_channels=[4, 4],
                u_dim=2,
                relation_channels=[6, 6],
                readout_channels=[6],
            ),
            {"image": "image", "u": "u"},
        ),
        "image-objects": (
            Spec("ImageObjectEncoder", in_channels=3, channel_list=[4, 5]),
            {"image": "image"},
        ),
        "image-encoder": (
            Spec("ImageEncoder", network=Convolution(), size=8, grid=2, frozen=False),
            {"image": "image"},
        ),
        "images": (
            small("ImageRelationClassifier", channels=4, relation_channels=[8]),
            {"x": "x", "edge_index": "edge_index"},
        ),
        "images-offset": (
            small(
                "ImageRelationClassifier",
                channels=4,
                relation_channels=[8],
                ends=False,
                interactions=["offset"],
                dropout=0.5,
            ),
            {"x": "x", "edge_index": "edge_index"},
        ),
        "sentences": (
            small("SentenceRelationClassifier", relation_channels=[6, 4], dropout=0.3),
            {"x": "both"},
        ),
        "tokens": (
            small(
                "TokenRelationClassifier",
                token_channels=4,
                relation_channels=[6, 12],
                heads=2,
                readout_channels=[4],
            ),
            SET | {"side": "side"},
        ),
        "statement": (
            Spec(
                "StatementNetwork",
                num_tokens=12,
                reasoner=small("RelationNetwork", **HIDDEN, u_dim=8),
                channels=3,
                hidden_channels=4,
                bidirectional=True,
            ),
            STATEMENT,
        ),
        "story": (
            Spec(
                "StoryNetwork",
                num_tokens=12,
                reasoner=STORY_REASONER,
                channels=4,
                max_sentences=8,
            ),
            STORY,
        ),
        "sentence-encoder": (
            Spec("SentenceEncoder", num_tokens=12, out_channels=4, max_words=5),
            {"x": "sentences"},
        ),
        "objects": (
            Spec("ObjectEncoder", in_channels=5, channel_list=[6, 4], u_dim=2),
            ASKED,
        ),
        "pairwise": (
            pair(6, 4),
            {"x_i": "x", "x_j": "x"},
        ),
        "temporal": (
            small(
                "TemporalRelationNetwork",
                hidden_channels=4,
                head_channels=[7],
                bidirectional=True,
            ),
            SET,
        ),
        "temporal-words": (
            small("TemporalRelationNetwork", num_tokens=12, hidden_channels=4),
            {"x": "position", "batch": "batch", "batch_size": "batch_size"},
        ),
        "graph-relation-conv": (
            Spec("GraphRelationConv", in_channels=5, out_channels=4, edge_dim=3),
            EDGES,
        ),
        "graph-block": (
            Spec(
                "GraphNetworkBlock",
                in_channels=5,
                edge_dim=3,
                u_dim=2,
                out_channels=4,
                hidden_channels=6,
            ),
            {k: v for k, v in EDGES.items() if k != "batch_size"} | {"u": "u"},
        ),
        "step-attention": (
            Spec("StepAttention", in_channels=5, hidden_channels=4),
            AGGREGATION,
        ),
        "memory": (
            Spec("RelationalMemory", in_channels=5, slots=3, heads=2, head_channels=4),
            {"x": "x"},
        ),
        "memory-gate": (
            Spec(
                "RelationalMemory",
                in_channels=5,
                slots=6,
                heads=2,
                head_channels=2,
                num_blocks=2,
                gate="memory",
            ),
            {"x": "x"},
        ),
        "unroll": (
            Spec(
                "Unroll",
                cell=Spec(
                    "RelationGRUCell",
                    in_channels=5,
                    hidden_channels=4,
                    nn=pair(6, 3, width=4),
                ),
            ),
            {"x": "frames", "batch": "batch", "batch_size": "batch_size"},
        ),
    }
    for aggr in ("sum", "mean", "max"):
        conv = Spec("RelationConv", nn=pair(6, 4, u_dim=2), aggr=aggr)
        cases[f"relation-conv-{aggr}"] = conv, ASKED
        pooled = Spec("RelationAggregation", nn=pair(6, 4), reduce=aggr)
        cases[f"relation-aggregation-{aggr}"] = pooled, AGGREGATION
    plain = Spec("RelationConv", nn=pair(6, 4, plain_last=True), method="sorted")
    cases["relation-conv-sorted"] = plain, SET
    listed = Spec("RelationConv", nn=pair(6, 4, **edge_u), self_pairs=False)
    cases["relation-conv-edges"] = listed, EDGES | {"u": "u"}
    for score in ("additive", "mlp", "dot"):
        conv = {"in_channels": 5, "out_channels": 2, "heads": 2, "score": score}
        name, pooled = "RelationAttentionConv", "RelationAttentionAggregation"
        cases |= {
            f"attention-{score}": (
                small("AttentionRelationNetwork", **HIDDEN, heads=2, score=score),
                SET,
            ),
            f"attention-conv-{score}": (Spec(name, **conv), SET),
            f"attention-conv-{score}-nn": (
                Spec(name, **conv, nn=pair(6, 4), residual=True, dropout=0.2),
                SET,
            ),
            f"attention-conv-{score}-edges": (
                Spec(name, **conv, **edge_u),
                EDGES | {"u": "u"},
            ),
            f"attention-aggregation-{score}": (Spec(pooled, **conv), AGGREGATION),
        }
    for output in ("set", "node"):
        cases[f"graph-relation-{output}"] = (
            small(
                "GraphRelationNetwork",
                hidden_channels=4,
                num_layers=2,
                output=output,
                **edge_u,
                readout_channels=[7],
            ),
            EDGES | {"u": "u"},
        )
    for output in ("set", "node", "edge"):
        cases[f"graph-network-{output}"] = (
            small(
                "GraphNetwork",
                hidden_channels=4,
                steps=3,
                output=output,
                **edge_u,
                readout_channels=[6],
            ),
            EDGES | {"u": "u"},
        )
    for output in ("set", "node", "edge", "pointer"):
        for cell in ("lstm", "gru"):
            answers = 1 if output == "pointer" else 3
            cases[f"recurrent-{output}-{cell}"] = (
                Spec(
                    "RecurrentRelationNetwork",
                    **{"in_channels": 5, "out_channels": answers, **RECURRENT},
                    output=output,
                    cell=cell,
                    edge_dim=3,
                ),
                EDGES,
            )
    cases["recurrent-all-pairs"] = (
        small("RecurrentRelationNetwork", **RECURRENT, u_dim=2, output="set"),
        ASKED,
    )
    for cell in ("RelationGRUCell", "RelationLSTMCell"):
        for aggr in ("sum", "max"):
            spec = Spec(cell, in_channels=5, hidden_channels=4, reduce=aggr)
            spec.arguments["nn"] = pair(6, 3, width=4)
            cases[f"{cell}-{aggr}"] = spec, SET
    for cell in ("rnn", "gru", "lstm"):
        for relation in ("none", "steps", "both"):
            cases[f"r2n2-{cell}-{relation}"] = (
                small("R2N2", **STATES, cell=cell, relation=relation, num_layers=2),
                SET,
            )
        cases[f"space-time-{cell}"] = (
            small("SpatioTemporalRelationNetwork", **STATES, cell=cell, dropout=0.1),
            FRAMES,
        )
    cases["r2n2-attention"] = (
        small("R2N2", **STATES, readout="attention", bidirectional=True),
        SET,
    )
    outputs = {
        "node": {"readout": "last", "num_layers": 2},
        "pair": {"bidirectional": True},
        "forecast": {"horizon": 3},
    }
    for output, options in outputs.items():
        cases[f"space-time-{output}"] = (
            small("SpatioTemporalRelationNetwork", **STATES, output=output, **options),
            FRAMES
            | ({"edge_label_index": "edge_label_index"} if output == "pair" else {}),
        )
    return cases


class Convolution(Spec):
    """A small network for images, with statistics of batches."""

    def __init__(self) -> None:
        super().__init__("Sequential")

    def build(self) -> nn.Module:
        conv = nn.Conv2d(3, 4, 3, padding=1)
        return nn.Sequential(conv, nn.BatchNorm2d(4), nn.ReLU())


def compute(case: Case) -> dict[str, Any]:
    """Return the hashes of a module's weights, outputs and gradients."""
    spec, wanted = case
    torch.manual_seed(0)
    module = spec.build()
    given = graphs()
    inputs = {key: given[name] for key, name in wanted.items()}
    for key, value in inputs.items():
        if isinstance(value, Tensor) and value.is_floating_point():
            inputs[key] = value.clone().requires_grad_()
    floats = {k: v for k, v in inputs.items() if getattr(v, "requires_grad", False)}
    weights = described(module.state_dict().items())
    # For dropout.
    torch.manual_seed(1)
    outputs = [*tensors_in(module(**known_names(module.forward, inputs)))]
    generator = torch.Generator().manual_seed(2)
    answers = [out for out in outputs if out.requires_grad]
    sum(
        (out * torch.randn(out.shape, generator=generator)).sum() for out in answers
    ).backward()
    nothing = torch.zeros(0)
    return {
        "weights": weights,
        "outputs": described((str(n), out) for n, out in enumerate(outputs)),
        "gradients": described(
            (name, nothing if value.grad is None else value.grad)
            for name, value in (*floats.items(), *module.named_parameters())
        ),
    }


def record_models(known: dict[str, Any], _: int) -> dict[str, Any]:
    """Run the cases that are known from a record, else all, and name the classes that
    none uses."""
    torch.set_num_threads(1)
    found = {
        name: attempt(lambda case=case: compute(case))
        for name, case in model_cases().items()
        if not known or name in known
    }
    used = set()
    waiting = [spec for spec, _ in model_cases().values()]
    while waiting:
        spec = waiting.pop()
        used.add(spec.name)
        waiting += [s for s in spec.arguments.values() if isinstance(s, Spec)]
    for room in ("models", "nn"):
        public = importlib.import_module(f"pyg_relational.{room}").__all__
        if left := sorted(set(public) - used):
            say(f"{room}: no case of", ", ".join(left))
    return found


def attempt(action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what an action returns, or what stopped it."""
    try:
        return action()
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:600]
        return {"skipped" if "PYG_RELATIONAL_DATA" in text else "failed": text}


# Datasets, by the names that the subpackage exports.

SPLITS = ("train", "val", "test")
FEW = {"num_train": 40, "num_val": 12, "num_test": 12}
DATASETS: dict[str, tuple[str, dict[str, Any]]] = {
    "babi": ("BAbI", {"tasks": [1, 2, 15]}),
    "babi-words": ("BAbI", {"tasks": [3], "representation": "words"}),
    "chickenpox": ("Chickenpox", {"window": 4}),
    "clutrr": ("CLUTRR", {}),
    "clutrr-sequence": ("CLUTRR", {"representation": "sequence"}),
    "clutrr-both-ways": ("CLUTRR", {"representation": "both-ways"}),
    "digits": ("DigitRelations", FEW),
    "digits-pixels": ("DigitRelations", {**FEW, "representation": "pixels"}),
    "graphs-path": ("GraphTasks", {"name": "shortest-path", **FEW}),
    "graphs-sort": ("GraphTasks", {"name": "sorting", **FEW}),
    "molecules": ("OGBMolecules", {"name": "ogbg-molfreesolv"}),
    "hiv": ("MolHIV", {}),
    "movie-reviews": ("MovieReviews", {}),
    "moving-shapes": ("MovingShapes", FEW),
    "moving-shapes-distance": ("MovingShapes", {**FEW, "distance": True, "seed": 1}),
    "moving-shapes-no-time": ("MovingShapes", {**FEW, "time": False}),
    "nlvr": ("NLVR", {}),
    "nlvr-words": ("NLVR", {"representation": "words"}),
    "nth-farthest": ("NthFarthest", FEW),
    "nth-farthest-row": ("NthFarthest", {**FEW, "answer": "row", "distance": True}),
    "pedestrians": ("Pedestrians", {}),
    "pedestrians-eth": ("Pedestrians", {"test_scene": "eth", "horizon": 4}),
    "springs": ("PhysicalConnections", FEW),
    "springs-flat": ("PhysicalConnections", {**FEW, "layout": "flat", "seed": 1}),
    "charges": ("PhysicalConnections", {**FEW, "force": "charges"}),
    "motion": ("PhysicalMotion", FEW),
    "systems": ("PhysicalSystemCount", {**FEW, "differences": True}),
    "sick": ("SICK", {}),
    "sick-tokens": ("SICK", {"representation": "tokens"}),
    "sort-of-clevr": ("SortOfCLEVR", FEW),
    "sort-of-clevr-pixels": ("SortOfCLEVR", {**FEW, "representation": "pixels"}),
    "sort-of-clevr-on-disk": ("SortOfCLEVROnDisk", {**FEW, "chunk_size": 16}),
    "stocks": ("Stocks", {}),
    "sudoku": ("Sudoku", FEW),
    "sudoku-9": ("Sudoku", {**FEW, "size": 9}),
}
# What `convert` makes of the scenes of this repository.
SCENES = {
    "scenes": ("--leave-out", "[node.note]"),
    "scenes-labels": ("--relations", "both", "--edge-type", "relation"),
    "scenes-index": ("--category", "index", "--targets", "[graph.tidy]"),
}


def samples_of(dataset: Iterable[Data]) -> dict[str, str]:
    """Return a hash of each attribute over all samples."""
    found: dict[str, Any] = {}
    count = 0
    for sample in dataset:
        count += 1
        for key, value in sample.to_dict().items():
            hashed = found.setdefault(key, hashlib.sha256())
            hashed.update(digest(value).encode())
    hashes = {key: hashed.hexdigest() for key, hashed in sorted(found.items())}
    return {"samples": str(count), **hashes}


def read_dataset(name: str, folder: Path) -> dict[str, Any]:
    """Make a dataset, read it again from its files, and hash its splits."""
    datasets = importlib.import_module("pyg_relational.datasets")
    root = str(folder / name)
    if name in SCENES:
        source = REPOSITORY / "datasets" / "scenes" / "rooms.jsonl"
        done = command("convert", str(source), root, *SCENES[name])
        if done.returncode:
            raise RuntimeError(done.stderr)
        return {"all": samples_of(datasets.SceneDataset(root))}
    kind, arguments = DATASETS[name]
    found = {}
    for split in SPLITS:
        made = samples_of(getattr(datasets, kind)(root, split=split, **arguments))
        found[split] = made
        if samples_of(getattr(datasets, kind)(root, split=split, **arguments)) != made:
            raise RuntimeError(f"{split} is another when it is read from its file")
    return found


def record_datasets(known: dict[str, Any], _: int) -> dict[str, Any]:
    """Make the datasets that are known from a record, else all."""
    torch.set_num_threads(1)
    found = {}
    with tempfile.TemporaryDirectory() as name:
        place_raw_data(Path(name))
        for key in known or (*DATASETS, *SCENES):
            start = time.perf_counter()
            # Progress bars and warnings about molecules.
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                found[key] = attempt(lambda key=key: read_dataset(key, Path(name)))
            state = {"failed", "skipped"} & set(found[key])
            say(key, *state, f"{time.perf_counter() - start:.0f} s")
    return found


# Names.


def signature(value: Any) -> str:
    """Return a signature, without the modules that annotations name."""
    try:
        text = str(inspect.signature(value))
    except (TypeError, ValueError):
        return type(value).__name__
    return re.sub(r"\bpyg_relational\.[\w.]*\.", "", text)


def record_names(*_: Any) -> dict[str, Any]:
    """Return the public names of each subpackage with their signatures."""
    package = importlib.import_module("pyg_relational")
    found: dict[str, Any] = {}
    for info in pkgutil.iter_modules(package.__path__):
        if info.name.startswith("_"):
            continue
        room = importlib.import_module(f"pyg_relational.{info.name}")
        for name in getattr(room, "__all__", ()):
            value = getattr(room, name)
            place = f"{info.name}.{name}"
            found[place] = signature(value)
            if isinstance(value, type) and issubclass(value, nn.Module):
                found[f"{place}.forward"] = signature(value.forward)
    return found


# Records and their comparison.

RECORD = {
    "recipes": record_recipes,
    "models": record_models,
    "datasets": record_datasets,
    "names": record_names,
}


def say(*words: str) -> None:
    print(*words, flush=True)


def say_changed(before: list[str], after: list[str]) -> None:
    """Print the lines that differ."""
    for line in difflib.unified_diff(before, after, n=0, lineterm=""):
        if not line.startswith(("---", "+++", "@@")):
            say(line)


def differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Say where two records differ; the names of tensors do not count."""
    if before == after:
        return
    if place.endswith(("/failed", "/skipped")):
        say(f"note: {place}: {after}")
        return
    if isinstance(before, dict) and isinstance(after, dict):
        # Names of attributes, as of arguments, may have changed.
        for key in [*before]:
            new = next((n for n in RENAMED.get(key, ()) if n in after), None)
            if key not in after and new is not None and new not in before:
                before = {new if k == key else k: v for k, v in before.items()}
        for key in dict.fromkeys((*before, *after)):
            where = f"{place}/{key}".strip("/")
            if key not in after:
                yield f"{where}: is no longer there"
            elif key not in before:
                yield f"{where}: is new"
            else:
                yield from differences(before[key], after[key], where)
    elif (
        isinstance(before, list) and isinstance(after, list) and "options" not in place
    ):
        old, new = ([entry[0] for entry in side] for side in (before, after))
        if old == new:
            return
        if sorted(old) == sorted(new):
            say(f"note: {place}: the same tensors in another order")
            return
        changed = [f"{e[2]} {e[1]}" for e in before if e[0] not in new]
        others = [f"{e[2]} {e[1]}" for e in after if e[0] not in old]
        yield f"{place}: {shortened(changed)} became {shortened(others)}"
    else:
        yield f"{place}: {before!s:.300} became {after!s:.300}"


def shortened(names: list[str]) -> str:
    """Return the first few of a list."""
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{len(names)} tensors ({', '.join(names[:4])}{more})"


def computed(sections: list[str], known: dict[str, Any], jobs: int) -> dict[str, Any]:
    """Compute sections of a record, and say how long each took."""
    package = importlib.import_module("pyg_relational")
    say(f"package: {Path(str(package.__file__)).parent}")
    found: dict[str, Any] = {}
    for section in sections:
        start = time.perf_counter()
        found[section] = RECORD[section](known.get(section, {}), jobs)
        say(f"{section}: {len(found[section])}, {time.perf_counter() - start:.0f} s")
    return found


def versions() -> dict[str, str]:
    """Return what the last bit may depend on besides the code."""
    return {"python": platform.python_version(), "torch": torch.__version__} | {
        "threads": "1",
        "machine": platform.machine(),
    }


def record(path: Path, sections: list[str], jobs: int) -> int:
    """Write a record; sections that were left out stay as they are."""
    known = json.loads(path.read_text()) if path.is_file() else {}
    known |= computed(sections, {}, jobs) | {"versions": versions()}
    path.write_text(json.dumps(known, indent=1) + "\n")
    failed = [
        f"{section}/{key}: {state}: {entry[state]}"
        for section in sections
        for key, entry in known[section].items()
        for state in ("failed", "skipped")
        if state in entry and isinstance(entry, dict)
    ]
    for line in failed:
        say(line)
    return int(any(": failed: " in line for line in failed))


def compare(path: Path, sections: list[str], jobs: int, match: str = "") -> int:
    """Compute again whatever has a text in its name, and print what differs."""
    before = json.loads(path.read_text())
    for section in sections:
        before[section] = {k: v for k, v in before[section].items() if match in k}
    sections = [section for section in sections if before[section]]
    if before["versions"] != versions():
        say(f"note: recorded with {before['versions']}, now {versions()}")
    after = json.loads(json.dumps(computed(sections, before, jobs)))
    found: list[str] = []
    for section in sections:
        if section == "names":
            after[section] = {k: v for k, v in after[section].items() if match in k}
            say_changed(
                *(
                    [f"{name}{text}" for name, text in sorted(side[section].items())]
                    for side in (before, after)
                )
            )
        else:
            found += differences(before[section], after[section], section)
    for line in found:
        say("DIFFERS", line)
    total = sum(len(before[section]) for section in sections if section != "names")
    say(f"{total} items compared, {len(found)} differences")
    return int(bool(found))


# Saved runs.

RUNS = {
    "sort-of-clevr": ["sort-of-clevr", "--representation", "state"],
    "sudoku": ["sudoku"],
    "babi": ["babi"],
    "springs": ["springs"],
    "pedestrians": ["pedestrians"],
}
SCENE = {
    "objects": [
        {"colour": "red", "shape": "circle", "x": 20, "y": 30},
        {"colour": "blue", "shape": "square", "x": 50, "y": 12},
    ],
    "questions": ["shape red", "nearest_shape red"],
}


def asked(folder: Path, name: str) -> dict[str, Any]:
    """Return what `evaluate` and `predict` print about a run."""
    run, data = folder / name, folder / "data" / name
    scene = folder / "scene.json"
    scene.write_text(json.dumps(SCENE))
    found = {}
    words = {"evaluate": ["--data-root", str(data)], "predict": [str(scene)]}
    for verb in ("evaluate", "predict"):
        done = command(verb, str(run), *words[verb])
        text = done.stdout + done.stderr
        found[verb] = [done.returncode, text.replace(str(folder), "FOLDER")]
    return found


def runs(folder: Path) -> int:
    """Train runs and record what they answer, or compare with what is recorded."""
    expected = folder / "expected.json"
    if expected.is_file():
        os.environ["PYG_RELATIONAL_DATA"] = str(folder / "raw")
        status = 0
        for name, before in json.loads(expected.read_text()).items():
            after = asked(folder, name)
            for verb in before:
                same = before[verb] == after[verb]
                status |= not same
                say(f"{name} {verb}:", "same" if same else "DIFFERS")
                if not same:
                    say(f"status {before[verb][0]} became {after[verb][0]}")
                    say_changed(
                        *(side[verb][1].splitlines() for side in (before, after))
                    )
        return int(status)
    folder.mkdir(parents=True)
    place_raw_data(folder)
    found = {}
    for name, options in RUNS.items():
        done = command(*training(options, folder / name, folder / "data"))
        if done.returncode:
            say(f"{name}: {done.stderr.strip()[-400:]}")
            return 1
        found[name] = asked(folder, name)
        say(f"{name}: trained, evaluate returned {found[name]['evaluate'][0]}")
    expected.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["record", "compare", "runs"])
    parser.add_argument("path", type=Path, help="the record, or a folder of runs")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=[*SECTIONS])
    parser.add_argument("--jobs", type=int, default=1, help="recipes at a time")
    parser.add_argument("--match", default="", help="compare what is named so")
    options = parser.parse_args()
    if options.action == "runs":
        return runs(options.path.resolve())
    if options.action == "record":
        return record(options.path, options.only, options.jobs)
    return compare(options.path, options.only, options.jobs, options.match)


if __name__ == "__main__":
    sys.exit(main())
