import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from pyg_relational.datasets.nlvr import (
    BLOCKS,
    COLOURS,
    FIXED_WORDS,
    NUM_BOXES,
    PLURALS,
    SIDES,
    TYPES,
)
from pyg_relational.transforms.required import required

# Columns of the objects.
COLOUR = 3 + len(TYPES)
BOX = COLOUR + len(COLOURS)


def _first_id(words: tuple[str, ...]) -> int:
    return 1 + FIXED_WORDS.index(words[0])


class AugmentNLVR(BaseTransform):
    r"""Tells an NLVR statement of another scene for which it is as true: with colours
    and shapes renamed at random, in the objects and in the sentence alike, boxes
    exchanged, and half of the scenes mirrored.

    Shapes keep their names where the sentence calls squares blocks, and scenes are not
    mirrored where it says left or right. A statement stands for up to 432. Works on
    single statements and on batches made with :obj:`follow_batch=["sentence"]`, whose
    statements are changed independently.

    Shapes:
        - **input:** objects :obj:`x` :math:`(N, 12)`, their :obj:`box` :math:`(N)`
          where it is there, and the words :obj:`sentence` :math:`(T)`
        - **output:** the same

    Raises:
        ValueError: If :obj:`x` or :obj:`sentence` is missing or of another shape, or
            a batch has no :obj:`sentence_batch`.
    """

    def forward(self, data: Data) -> Data:
        r"""Changes a copy."""
        x, words = required(
            data,
            ["x", "sentence"],
            "change a statement",
            "use representation='objects'",
        )
        if x.dim() != 2 or x.size(1) != BOX + NUM_BOXES or words.dim() != 1:
            raise ValueError(
                f"'x' must have {BOX + NUM_BOXES} columns and 'sentence' one dimension "
                f"(got {list(x.shape)} and {list(words.shape)})"
            )
        scene, told, count = _owners(data)
        colours = _orders(count, len(COLOURS), words)
        boxes = _orders(count, NUM_BOXES, words)
        types = _orders(count, len(TYPES), words)
        fixed = _says(words, told, count, BLOCKS)
        types = torch.where(fixed[:, None], torch.arange(len(TYPES)).to(types), types)
        mirrored = torch.rand(count, device=x.device) < 0.5
        mirrored &= ~_says(words, told, count, SIDES)
        words = _renamed(words, colours[told], COLOURS)
        words = _renamed(words, types[told], TYPES)
        data.sentence = _renamed(words, types[told], PLURALS)
        left = x[:, :1]
        flipped = torch.where(mirrored[scene, None], 1 - left - x[:, 2:3], left)
        parts = [flipped, x[:, 1:3]]
        for first, order in ((3, types), (COLOUR, colours), (BOX, boxes)):
            columns = x[:, first : first + order.size(1)]
            # Column k moves to column order[k].
            parts.append(columns.gather(1, order.argsort(dim=1)[scene]))
        data.x = torch.cat(parts, dim=1)
        if "box" in data:
            data.box = boxes[scene].gather(1, data.box[:, None])[:, 0]
        return data


def _owners(data: Data) -> tuple[Tensor, Tensor, int]:
    """The statement of each object and of each word, and how many there are."""
    if "batch" not in data:
        nothing = data.sentence.new_zeros(max(data.x.size(0), data.sentence.numel()))
        return nothing[: data.x.size(0)], nothing[: data.sentence.numel()], 1
    if "sentence_batch" not in data:
        raise ValueError(
            "'sentence_batch' is missing; load batches with follow_batch=['sentence']"
        )
    return data.batch, data.sentence_batch, data.num_graphs


def _orders(count: int, size: int, like: Tensor) -> Tensor:
    """Of each statement the new number of each name, `[count, size]`."""
    return torch.rand(count, size, device=like.device).argsort(dim=1)


def _says(words: Tensor, told: Tensor, count: int, names: tuple[str, ...]) -> Tensor:
    """Whether each statement has one of the words, `[count]`."""
    first = _first_id(names)
    found = (words >= first) & (words < first + len(names))
    return (
        torch.zeros(count, device=words.device)
        .index_add_(0, told, found.float())
        .bool()
    )


def _renamed(words: Tensor, order: Tensor, names: tuple[str, ...]) -> Tensor:
    """The words, with those of `names` by the order `[T, len(names)]` of their
    statement."""
    first = _first_id(names)
    place = words - first
    named = (place >= 0) & (place < len(names))
    new = order.gather(1, place.clamp(0, len(names) - 1)[:, None])[:, 0]
    return torch.where(named, first + new, words)
