"""Words as numbers."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

UNKNOWN = "<unk>"
# "don't" gives "do" and "n't", "film's" gives "film" and "'s".
_TOKEN = re.compile(r"\w+(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|\w+|[^\w\s]")


def tokenize(text: str) -> list[str]:
    """Splits a text into lower-case words, numbers and single punctuation marks.

    Contractions are split as in `do n't` and `film 's`."""
    # Typographic apostrophes would hide contractions.
    return _TOKEN.findall(text.lower().replace("\u2019", "'"))


class Vocabulary:
    """Tokens and their numbers; number 0 is `<unk>`, every token that is not known.

    Args:
        tokens (Sequence[str]): The tokens in the order of their numbers, `"<unk>"`
            first. `list(vocabulary.tokens)` stores a vocabulary.

    Raises:
        ValueError: The first token is not `"<unk>"`, or a token comes twice.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tuple(tokens)
        if not self.tokens or self.tokens[0] != UNKNOWN:
            raise ValueError(
                f"Expected `tokens` to start with {UNKNOWN!r}, got "
                f"{list(self.tokens[:3])}; build a vocabulary of texts with "
                "`Vocabulary.from_texts`."
            )
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            twice = Counter(self.tokens).most_common(1)[0][0]
            raise ValueError(f"Expected `tokens` to differ, got {twice!r} twice.")

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[Sequence[str]],
        min_count: int = 1,
        max_size: int | None = None,
    ) -> "Vocabulary":
        """Collects the tokens of texts, frequent ones first, then by alphabet.

        Give the texts of the training split only.

        Args:
            texts (Iterable[Sequence[str]]): The tokens of each text.
            min_count (int): Rarer tokens are left out. (default: `1`)
            max_size (int, optional): Most tokens to keep, `<unk>` included.
                (default: `None`)

        Raises:
            TypeError: A text is a string: pass it through `tokenize` first.
            ValueError: `min_count` or `max_size` is smaller than 1.
        """
        for argument, value in {"min_count": min_count, "max_size": max_size}.items():
            if value is not None and value < 1:
                raise ValueError(f"Expected `{argument}` to be 1 or more, got {value}.")
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_checked(text))
        counts.pop(UNKNOWN, None)
        known = [token for token, count in counts.items() if count >= min_count]
        known.sort(key=lambda token: (-counts[token], token))
        return cls([UNKNOWN, *known][:max_size])

    def encode(self, tokens: Sequence[str], strict: bool = False) -> Tensor:
        """Returns the numbers of tokens, `[T]` int64.

        Args:
            tokens (Sequence[str]): The tokens of one text.
            strict (bool): Refuse unknown tokens instead of giving them number 0.
                (default: `False`)

        Raises:
            TypeError: `tokens` is a string: pass it through `tokenize` first.
            ValueError: A token is unknown and `strict` is set; it is named.
        """
        _checked(tokens)
        if strict:
            for position, token in enumerate(tokens):
                if token not in self._ids:
                    raise ValueError(
                        f"Unknown token {token!r} at position {position} of "
                        f"{' '.join(tokens)!r}. The vocabulary has {len(self)} tokens; "
                        "use one of them, or pass `strict=False`."
                    )
        return torch.tensor(
            [self._ids.get(token, 0) for token in tokens], dtype=torch.long
        )

    def decode(self, ids: Tensor | Sequence[int]) -> list[str]:
        """Returns the tokens with these numbers.

        Args:
            ids (Tensor or Sequence[int]): Numbers, `[T]`.

        Raises:
            ValueError: A number is not in the vocabulary.
        """
        numbers = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        for number in numbers:
            if not 0 <= number < len(self.tokens):
                raise ValueError(
                    f"Expected `ids` from 0 to {len(self) - 1}, got {number}."
                )
        return [self.tokens[number] for number in numbers]

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)})"


def _checked(tokens: Sequence[str]) -> Sequence[str]:
    if isinstance(tokens, str):
        raise TypeError(
            f"Expected the tokens of a text, got the text {tokens[:40]!r}; "
            "pass `tokenize(text)`."
        )
    return tokens
