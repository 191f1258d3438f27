"""The SICK dataset."""

import zipfile
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational._checks import check_name
from pyg_relational._files import write_atomic
from pyg_relational.datasets.base import Slices, StoredDataset, collate_stacked
from pyg_relational.datasets.downloads import (
    RawFile,
    check_members,
    check_sha256,
    fetch_raw,
)
from pyg_relational.datasets.embedding_cache import EmbeddingCache
from pyg_relational.datasets.tables import parse_lines
from pyg_relational.encoders.texts import (
    MAX_TOKENS,
    load_minilm,
    load_tokenizer,
    minilm_key,
    text_tokens,
    token_embeddings,
)

URL = "http://alt.qcri.org/semeval2014/task1/data/uploads"
# The file of each split.
FILES = {
    "train": "SICK_train.txt",
    "val": "SICK_trial.txt",
    "test": "SICK_test_annotated.txt",
}
SHA256 = {
    "train": "266cf8047149bd1d68138dd30439f3122bff30069740ac6705bb6197d9f1b48e",
    "val": "5a88cfb62f8c6bd2a3cce0f2421ba2cb8c2be5ab4a800f6f01e2c64aafb7db56",
    "test": "2b8aa806658d6fc23c6824c83776c2d4fee7556000817b5ec0f982861413b7d0",
}
# The largest file has 0.7 MB.
MAX_BYTES = 64 * 2**20
COLUMNS = (
    "pair_ID",
    "sentence_A",
    "sentence_B",
    "relatedness_score",
    "entailment_judgment",
)
RELATIONS = ("entailment", "neutral", "contradiction")
REPRESENTATIONS = ("sentences", "tokens")
EMBEDDINGS_FOLDER = "embeddings"
_model, _tokenizer = cache(load_minilm), cache(load_tokenizer)


class SICK(StoredDataset):
    r"""Does one sentence follow from another, contradict it, or neither? The sentence
    pairs of `"A SICK cure for the evaluation of compositional distributional semantic
    models" <https://aclanthology.org/L14-1314/>`_, embedded by MiniLM.

    The splits are those of SemEval-2014, task 1: 4,500 pairs for training, the 500 of
    the trial for validation and 4,927 for the test. Each sentence is embedded once and
    kept in `root/embeddings`; the rows of samples are taken from there when the dataset
    is loaded.

    Args:
        root (str): Folder of the dataset; files may also lie in the folder `sick` of
            `PYG_RELATIONAL_DATA`.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        representation (str): `"sentences"`, each the mean of its tokens, or
            `"tokens"`. (default: `"sentences"`)
        **kwargs (optional): Additional arguments of
            :class:`~pyg_relational.datasets.StoredDataset`.

    Shapes:
        - **x:** `[2, 384]` premise and hypothesis; with `"tokens"` `[L1 + L2, 384]`,
          the tokens of both, without those that mark start and end
        - **side:** `[L1 + L2]` 0 for the tokens of the premise, 1 for those of the
          hypothesis (only `"tokens"`)
        - **sentence_number:** `[2]` the places of both in the list `sentences`
        - **relatedness:** `[1]` from 1 to 5
        - **identifier:** `[1]` number of the pair in the files
        - **y:** `[1]` index into `ANSWERS`
        - **question_relation:** `[1]` the same, to score each relation

    Raises:
        ModuleNotFoundError: A package of the extra `text` is missing.
    """

    task = "classification"
    kind = "graph"
    INPUTS = "sentences"
    ANSWERS = RELATIONS
    num_answers = len(ANSWERS)

    def __init__(
        self,
        root: str,
        split: str = "train",
        representation: str = "sentences",
        **kwargs: Any,
    ) -> None:
        self.representation = check_name(
            "representation", representation, REPRESENTATIONS
        )
        super().__init__(root, split, **kwargs)
        self.sentences: list[str] = self.extras["sentences"]
        if "x" not in self._data:
            self._add_rows(self._data, self.slices, self.sentences)

    @property
    def raw_files(self) -> tuple[RawFile, ...]:
        name = FILES[self.split]
        url = f"{URL}/{Path(name).stem.lower()}.zip"
        return (ZippedFile(name, url, SHA256[self.split], "sick"),)

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        return {"relation": RELATIONS}

    @property
    def _changed(self) -> bool:
        """Whether what is stored is after a transform or a filter."""
        return self.pre_transform is not None or self.pre_filter is not None

    def _name(self) -> str:
        # Transforms and filters see the embeddings, which are not stored otherwise.
        return f"{self.split}-{self.representation}" if self._changed else self.split

    @classmethod
    def data_from_inputs(cls, inputs: Sequence[str], root: str, **args: Any) -> Data:
        """Returns two sentences as a model takes them, with their tokens as text.

        Args:
            inputs (Sequence[str]): Premise and hypothesis.
            root (str): Folder of the dataset, where embeddings are kept.
            **args: Arguments of the dataset; `representation` counts.

        Raises:
            ModuleNotFoundError: A package of the extra `text` is missing.
            ValueError: There are not two sentences, or one is empty.
        """
        if isinstance(inputs, str) or len(inputs) != 2:
            count = 1 if isinstance(inputs, str) else len(inputs)
            raise ValueError(
                f"Expected two sentences, premise and hypothesis, got {count}; put "
                "each in quotation marks."
            )
        representation = check_name(
            "representation", args.get("representation", "sentences"), REPRESENTATIONS
        )
        # First: it says what is wrong with a sentence.
        numbers, names = named_tokens(inputs)
        data = Data(y=torch.zeros(1, dtype=torch.long), tokens=names)
        rows = _read_rows(sentence_tokens(inputs, root, numbers), representation)
        _set_rows(data, rows, representation)
        return data

    def generate(self) -> tuple[Data, Slices]:
        pairs = read_sentence_pairs(self.raw_paths[0])
        texts = [text for p in pairs for text in (p.premise, p.hypothesis)]
        # Each once, in the order of the file.
        sentences = list(dict.fromkeys(texts))
        self.extras["sentences"] = sentences
        data, slices = collate_stacked(pair_rows(pairs, sentences))
        if self._changed:
            self._add_rows(data, slices, sentences)
        return data, slices

    def _add_rows(
        self, data: Data, slices: dict[str, Tensor], sentences: list[str]
    ) -> None:
        """Adds what a model reads to all pairs at once."""
        tokens = sentence_tokens(sentences, self.root)
        rows = _read_rows(tokens, self.representation)
        chosen = [rows[number] for number in data.sentence_number.tolist()]
        _set_rows(data, chosen, self.representation)
        # Premise and hypothesis of each pair.
        sizes = torch.tensor([len(x) for x in chosen]).view(-1, 2).sum(dim=1)
        cut = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        slices |= {name: cut for name in ("x", "side") if name in data}


class ZippedFile(RawFile):
    """A file that is published in a zip archive of its own."""

    def fetch(self, path: Path) -> None:
        archive = path.with_name(self.url.rpartition("/")[2])

        def unpack(partial: Path) -> None:
            with zipfile.ZipFile(archive) as content:
                check_members(content, MAX_BYTES)
                partial.write_bytes(content.read(self.name))
            check_sha256(partial, str(self.sha256), f"{self.name} of {self.url}")

        fetch_raw(self.url, archive)
        try:
            write_atomic(path, unpack)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
            raise ValueError(
                f"Expected {self.url} to be a zip archive with the file {self.name!r} "
                f"({error}). Fetch the file elsewhere and put it to {str(path)!r}."
            ) from error
        finally:
            archive.unlink(missing_ok=True)


class SentencePair(NamedTuple):
    """Two sentences, how related they are (1 to 5), and by which relation."""

    identifier: int
    premise: str
    hypothesis: str
    relatedness: float
    relation: int


def read_sentence_pairs(path: str | Path) -> list[SentencePair]:
    """Reads a file of pairs, one a line, with tabs between its five columns."""
    path = Path(path)
    header = "\t".join(COLUMNS)
    pairs = parse_lines(path.read_bytes(), path.name, _pair, header)
    if not pairs:
        raise ValueError(f"{path.name} holds no pairs; fetch the file again.")
    return pairs


def _pair(line: str) -> SentencePair:
    fields = line.split("\t")
    if len(fields) != len(COLUMNS):
        raise ValueError(f"expected {len(COLUMNS)} columns, got {len(fields)}")
    identifier, premise, hypothesis, relatedness, relation = fields
    if not (premise.strip() and hypothesis.strip()):
        raise ValueError("expected two sentences, got an empty one")
    if relation.lower() not in RELATIONS:
        raise ValueError(
            f"expected a relation ({', '.join(RELATIONS)}), got {relation!r}"
        )
    try:
        number, score = int(identifier), float(relatedness)
    except ValueError as error:
        raise ValueError(
            f"expected numbers, got the identifier {identifier!r} and the relatedness "
            f"{relatedness!r}"
        ) from error
    if not 1 <= score <= 5:
        raise ValueError(f"expected a relatedness from 1 to 5, got {relatedness!r}")
    return SentencePair(
        number, premise, hypothesis, score, RELATIONS.index(relation.lower())
    )


def pair_rows(pairs: list[SentencePair], sentences: list[str]) -> dict[str, Tensor]:
    """Returns the attributes of sentence pairs, a row a pair."""
    number = {text: place for place, text in enumerate(sentences)}
    numbers = [[number[p.premise], number[p.hypothesis]] for p in pairs]
    relation = torch.tensor([[p.relation] for p in pairs])
    return {
        "sentence_number": torch.tensor(numbers),
        "relatedness": torch.tensor([[p.relatedness] for p in pairs]),
        "identifier": torch.tensor([[p.identifier] for p in pairs]),
        "y": relation,
        "question_relation": relation.clone(),
    }


def sentence_tokens(
    sentences: Sequence[str],
    root: str | Path,
    numbers: Sequence[list[int]] | None = None,
    batch_size: int = 32,
) -> list[Tensor]:
    """Returns the tokens of each sentence as MiniLM embeds them, `[L, 384]`, those that
    mark its start and its end included."""
    # Sentences of about the same length go together: little of a batch is padding.
    order = sorted(range(len(sentences)), key=lambda place: len(sentences[place]))

    def encode(places: list[int]) -> list[Tensor]:
        chosen = [order[place] for place in places]
        if numbers is not None:
            return token_embeddings(_model(), [numbers[place] for place in chosen])
        texts = [sentences[place] for place in chosen]
        return token_embeddings(_model(), text_tokens(_tokenizer(), texts, MAX_TOKENS))

    contents = [sentences[place].encode() for place in order]
    embeddings = EmbeddingCache(Path(root, EMBEDDINGS_FOLDER), minilm_key())
    found = embeddings.embeddings(contents, encode, batch_size)
    ordered = sorted(zip(order, found, strict=True), key=lambda entry: entry[0])
    return [tokens for _, tokens in ordered]


def named_tokens(sentences: Sequence[str]) -> tuple[list[list[int]], list[list[str]]]:
    """Returns the tokens of each sentence, and without start and end as text."""
    rows = text_tokens(_tokenizer(), sentences, MAX_TOKENS)
    return rows, [_tokenizer().convert_ids_to_tokens(row[1:-1]) for row in rows]


def _read_rows(tokens: list[Tensor], representation: str) -> list[Tensor]:
    """What a model reads of each sentence: its mean, or its words."""
    if representation == "sentences":
        return [rows.mean(dim=0, keepdim=True) for rows in tokens]
    return [rows[1:-1] for rows in tokens]


def _set_rows(data: Data, rows: list[Tensor], representation: str) -> None:
    """Sets what a model reads: of premise and hypothesis in turn."""
    data.x = torch.cat(rows)
    if representation == "tokens":
        sizes = torch.tensor([len(words) for words in rows])
        data.side = (torch.arange(len(rows)) % 2).repeat_interleave(sizes)
