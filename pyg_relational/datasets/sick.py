"""The SICK dataset."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from pyg_relational.datasets.names import check_name
from pyg_relational.datasets.raw_files import raw_folder
from pyg_relational.datasets.sick_embeddings import named_tokens, sentence_tokens
from pyg_relational.datasets.sick_files import (
    FILES,
    RELATIONS,
    SentencePair,
    fetch_sentence_pairs,
    read_sentence_pairs,
)
from pyg_relational.datasets.stored import (
    collate_stacked,
    load_stored,
    stored_content,
    stored_name,
)

REPRESENTATIONS = ("sentences", "tokens")
# Part of every file name: raise it whenever the stored content changes.
FORMAT_VERSION = 1
FOLDER = "sick"


class SICK(InMemoryDataset):
    r"""Does one sentence follow from another, contradict it, or neither? The sentence
    pairs of `"A SICK cure for the evaluation of compositional distributional semantic
    models" <https://aclanthology.org/L14-1314/>`_, embedded by MiniLM.

    The splits are those of SemEval-2014, task 1: 4,500 pairs for training, the 500 of
    the trial for validation and 4,927 for the test. Each sentence is embedded once and
    kept in `root/embeddings`; the rows of samples are taken from there when the dataset
    is loaded.

    Args:
        root (str): Folder of the dataset; files go to `root/raw`, `root/processed` and
            `root/embeddings`. Files in the folder `sick` of the one that the
            environment variable `PYG_RELATIONAL_DATA` names are read there.
        split (str): `"train"`, `"val"` or `"test"`. (default: `"train"`)
        representation (str): `"sentences"`, each the mean of its tokens, or
            `"tokens"`. (default: `"sentences"`)
        transform (Callable, optional): Applied on every access. (default: `None`)
        pre_transform (Callable, optional): Applied before storing; its `repr` is part
            of the file name. (default: `None`)
        pre_filter (Callable, optional): Keeps the pairs for which it is true; its
            `repr` is part of the file name. (default: `None`)
        force_reload (bool): Make the stored file again. (default: `False`)

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
        OSError: A file has to be fetched and cannot be, or `root` cannot be written.
        ValueError: A name is unknown, or a line of a file is wrong; file and line are
            named.
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
        transform: Callable[[Data], Data] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        force_reload: bool = False,
    ) -> None:
        self.split = check_name("split", split, tuple(FILES))
        self.representation = check_name(
            "representation", representation, REPRESENTATIONS
        )
        super().__init__(str(root), transform, pre_transform, pre_filter)
        content = load_stored(self, self._generate, force_reload=force_reload)
        self.sentences: list[str] = content["sentences"]
        if "x" not in self._data:
            self._add_rows(self._data, self.slices, self.sentences)

    @property
    def raw_file_names(self) -> str:
        return FILES[self.split]

    @property
    def raw_dir(self) -> str:
        return raw_folder(self.root, FILES[self.split], FOLDER)

    @property
    def processed_file_names(self) -> str:
        name = f"{self.split}-v{FORMAT_VERSION}"
        if self.pre_transform is not None or self.pre_filter is not None:
            # They see the embeddings.
            name = f"{self.split}-{self.representation}-v{FORMAT_VERSION}"
        return stored_name(self, name)

    @property
    def has_download(self) -> bool:
        # PyG would fetch the file even where the pairs are stored.
        return False

    @staticmethod
    def metric_groups() -> dict[str, tuple[str, ...]]:
        """Returns the groups by which answers are scored, with their names."""
        return {"relation": RELATIONS}

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

    def download(self) -> None:
        """Fetches the file of the split."""
        fetch_sentence_pairs(self.split, self.raw_paths[0])

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

    def _generate(self) -> dict[str, Any]:
        self._download()
        pairs = read_sentence_pairs(self.raw_paths[0])
        texts = [text for p in pairs for text in (p.premise, p.hypothesis)]
        # Each once, in the order of the file.
        sentences = list(dict.fromkeys(texts))
        rows = pair_rows(pairs, sentences)
        data, slices = collate_stacked(rows)
        if self.pre_transform is not None or self.pre_filter is not None:
            self._add_rows(data, slices, sentences)
        return {**stored_content(self, data, slices), "sentences": sentences}


def pair_rows(pairs: list[SentencePair], sentences: list[str]) -> dict[str, Tensor]:
    """Returns the attributes of sentence pairs, a row a pair.

    Args:
        pairs (list[SentencePair]): The pairs.
        sentences (list[str]): The sentences, each once.
    """
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
