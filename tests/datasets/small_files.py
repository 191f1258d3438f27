"""Small raw files of the datasets that are made of files."""

import csv
import io
import json
import math
import tarfile
import zipfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from pyg_relational.datasets import babi, clutrr, stocks

# bAbI: short stories about three people, for all tasks.
PEOPLE, PLACES = ("Mary", "John", "Sandra"), ("garden", "hallway", "office")


def babi_story(task: int, k: int, length: int) -> str:
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


def babi_files(
    extra_test: str = "", stories: int = 10, length: int = 9
) -> dict[str, str]:
    content = {}
    for task, name in enumerate(babi.TASKS, 1):
        train = "".join(babi_story(task, k, length) for k in range(stories))
        test = "".join(babi_story(task, k, length) for k in range(3)) + extra_test
        content[f"qa{task}_{name}_train.txt"] = train
        content[f"qa{task}_{name}_test.txt"] = test
    return content


def write_babi(path: Path, folders: dict[str, dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for folder, content in folders.items():
            for name, text in content.items():
                info = tarfile.TarInfo(f"{folder}/{name}")
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))


# Chickenpox: three counties whose value is told by the number of the week.
WEEKS = 130


def write_chickenpox(path: Path) -> None:
    rows = [[week + 0.25 * county for county in range(3)] for week in range(WEEKS)]
    ids = {"A": 0, "B": 1, "C": 2}
    path.parent.mkdir(parents=True, exist_ok=True)
    edges = [[0, 0], [0, 1], [1, 0]]
    path.write_text(json.dumps({"edges": edges, "node_ids": ids, "FX": rows}))


# CLUTRR: parents and siblings.


def clutrr_story(
    types: tuple[str, ...],
    target: str,
    edges: list[tuple[int, int]] | None = None,
    query: tuple[int, int] | None = None,
) -> dict[str, str]:
    edges = edges or [(k, k + 1) for k in range(len(types))]
    row = dict.fromkeys(clutrr.COLUMNS, "text")
    return row | {
        "target": target,
        "story_edges": str(edges),
        "edge_types": str(list(types)),
        "query_edge": str(query or (0, len(types))),
    }


PARENTS = ("father", "mother")
SIBLINGS = ("brother", "sister")
UNCLES = ("uncle", "aunt")
# A sibling's sibling is one, and so is a parent's sibling's sibling an uncle or aunt.
CLUTRR_TRAIN = [
    *(clutrr_story((p, s), UNCLES[k]) for p in PARENTS for k, s in enumerate(SIBLINGS)),
    *(clutrr_story((s, t), t) for s in SIBLINGS for t in SIBLINGS),
    *(
        clutrr_story((p, s, t), UNCLES[k])
        for p in PARENTS
        for s in SIBLINGS
        for k, t in enumerate(SIBLINGS)
    ),
]
CLUTRR_TEST = {
    2: [clutrr_story(("mother", "sister"), "aunt")],
    # The brother of the first person's father is met twice.
    4: [
        clutrr_story(
            ("father", "brother", "brother", "sister"),
            "aunt",
            [(0, 1), (1, 2), (2, 1), (1, 3)],
            (0, 3),
        )
    ],
}


def write_clutrr(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"1.2,1.3_train.csv": CLUTRR_TRAIN}
    for n in range(2, 11):
        other = [clutrr_story(("mother", *["sister"] * (n - 1)), "aunt")]
        tables[f"1.{n}_test.csv"] = CLUTRR_TEST.get(n, other)
    with zipfile.ZipFile(folder / clutrr.FILE, "w") as archive:
        for name, rows in tables.items():
            text = io.StringIO(newline="")
            writer = csv.DictWriter(text, clutrr.COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
            archive.writestr(name, text.getvalue())


# Reviews: 30 texts of each label, of 3 to 7 words; the first word tells label and
# number.
REVIEWS = [
    (f"film{label}{i:02} {'very ' * (i % 5)}{word} .", label, "rotten_tomatoes")
    for label, word in (("0", "bad"), ("1", "good"))
    for i in range(30)
]
OTHER_REVIEWS = [("Long<br /><br />review, don't!", "1", "imdb")] * 3


def write_reviews(
    path: Path,
    rows: Any = (*REVIEWS, *OTHER_REVIEWS),
    columns: tuple[str, ...] = ("text", "label", "source"),
) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return str(path)


# NLVR: sentences, each with four scenes; every other one is about towers.
NUMBERS = ("one", "two", "three", "four", "five")
SHAPES = ("circle", "square", "triangle")
COLOURS = ("Yellow", "Black", "#0099ff")


def nlvr_item(k: int) -> dict[str, Any]:
    return {
        "x_loc": k,
        "y_loc": 2 * k,
        "size": 10 * (1 + k % 3),
        "type": SHAPES[k % 3],
        "color": COLOURS[k % 2],
    }


def nlvr_block(k: int) -> dict[str, Any]:
    return {"x_loc": 40, "y_loc": 80 - 21 * k, "size": 20, "type": "square"} | {
        "color": COLOURS[k % 3]
    }


def nlvr_documents(start: int, count: int, scenes: int = 4) -> list[dict[str, Any]]:
    rows = []
    for n in range(start, start + count):
        for m in range(scenes):
            make = nlvr_block if n % 2 else nlvr_item
            boxes = [[make(k) for k in range(size)] for size in (m, 0, 1 + n % 3)]
            text = f"There are {NUMBERS[n % 5]} things of kind q{n}."
            label = "true" if (n + m) % 3 else "false"
            row = {"sentence": text, "label": label, "identifier": f"{n}-{m}"}
            rows.append({**row, "structured_rep": boxes})
    return rows


NLVR_FILES = {
    # Sentences 0 to 19, 18 to 22, and 12 to 49: some are in several files.
    "dev": nlvr_documents(0, 20),
    "test": nlvr_documents(18, 5),
    "train": nlvr_documents(12, 38),
}


def write_nlvr(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = NLVR_FILES[path.stem]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


# Pedestrians: somebody comes every third frame and walks straight on for 25 frames.
FRAMES = {"eth": 105, "hotel": 100, "zara01": 110}
STEMS = {"eth": "biwi_eth", "hotel": "biwi_hotel", "zara01": "crowds_zara01"}


def walks(frames: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    rows: list[tuple[float, ...]] = []
    for person, start in enumerate(range(-12, frames, 3), 1):
        place, step = rng.normal(0, 4, 2), rng.normal(0, 0.4, 2)
        for t in range(max(0, start), min(frames, start + 25)):
            rows.append((10 * t, person, *(place + t * step)))
    return "".join(" ".join(map(str, row)) + "\n" for row in sorted(rows))


def write_pedestrians(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (scene, stem) in enumerate(STEMS.items()):
        (folder / f"{stem}.txt").write_text(walks(FRAMES[scene], seed))


# Stocks: first and last day of each ticker; the file does not list them by alphabet.
NUM_DAYS = 60
LISTED = {"OLD": (0, 59), "END": (0, 54), "MID": (20, 59), "NEW": (53, 59)}


def stock_rows() -> dict[tuple[str, int], list[float]]:
    rng = np.random.default_rng(0)
    rows = {}
    for ticker, (first, last) in LISTED.items():
        close = 100.0
        for d in range(first, last + 1):
            open_, close = close, close * math.exp(rng.normal(0, 0.02))
            high = max(open_, close) * math.exp(abs(rng.normal(0, 0.01)))
            low = min(open_, close) * math.exp(-abs(rng.normal(0, 0.01)))
            volume = round(1e6 * math.exp(rng.normal()))
            rows[ticker, d] = [open_, high, low, close, volume, 0.5 * close]
    return rows


def stock_day(d: int) -> str:
    return (date(2001, 1, 1) + timedelta(days=2 * d)).isoformat()


def write_stocks(path: Path, rows: dict[tuple[str, int], list[float]]) -> str:
    with path.open("w", newline="") as file:
        lines = [(ticker, stock_day(d), *v) for (ticker, d), v in rows.items()]
        csv.writer(file).writerows([stocks.COLUMNS, *lines])
    return str(path)
