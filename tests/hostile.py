"""Mutated files: how they are made, and what must not happen when they are read."""

import json
import pickle
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

SECONDS = 10
TRAP = "trapped"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
TEXTS = [
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b"!!python/object/apply:os.system ['touch trapped']",
    b"!!python/name:os.system",
    b"&a [*a]",
    b"\n<<: *a\n",
    BOMB.encode(),
    b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;&b;">]>',
    b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
    b"NaN",
    b"-Infinity",
    b"null",
    b"true",
    b'""',
    b"{}",
    b"[]",
    b"1e999",
    b"9" * 30,
    b"9" * 5000,
    b"-1",
    b"0",
    b"../../../" + TRAP.encode(),
    b"/" + TRAP.encode(),
    b"\xff\xfe\x00",
    b"\0",
    "é\u2028\U0001f600".encode(),
]


class Trap:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(TRAP),)


def mutated(content: bytes, random: Random) -> bytes:
    """A file with one to three changes."""
    for _ in range(random.choice((1, 1, 2, 3))):
        content = random.choice(CHANGES)(content, random)
    return content


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _drop(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content) + 1)
    return content[:start] + content[start + random.randrange(1, 40) :]


def _flip(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 4, 30)) if content else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _insert(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content) + 1)
    return content[:start] + random.randbytes(random.randrange(1, 20)) + content[start:]


def _write(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content) + 1)
    stop = start + random.choice((0, 0, 1, 5, 20))
    return content[:start] + random.choice(TEXTS) + content[stop:]


def _swap(content: bytes, random: Random) -> bytes:
    a, b, c = sorted(random.randrange(len(content) + 1) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def _repeat(content: bytes, random: Random) -> bytes:
    a, b = sorted(random.randrange(len(content) + 1) for _ in range(2))
    return content[:b] + content[a:b] * random.choice((1, 1, 5)) + content[b:]


def _number(content: bytes, random: Random) -> bytes:
    """A digit becomes a number of many, as where a size or a position is written."""
    places = [k for k, byte in enumerate(content) if 48 <= byte < 58]
    if not places:
        return _length(content, random)
    place = random.choice(places)
    number = random.choice((b"-7", b"99", b"65536", b"4294967296", b"9" * 18, b"0.5"))
    return content[:place] + number + content[place + 1 :]


def _length(content: bytes, random: Random) -> bytes:
    """Binary lengths out of range."""
    start = random.choice((0, random.randrange(len(content) + 1)))
    number = random.choice((2**16, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1))
    width = random.choice((4, 8))
    raw = (number % 256**width).to_bytes(width, "little")
    return content[:start] + raw + content[start + width :]


def _pickle(content: bytes, random: Random) -> bytes:
    return pickle.dumps(Trap(), protocol=random.randrange(6))


CHANGES = [
    *[_cut, _drop, _flip, _insert, _write, _swap, _repeat, _number, _length] * 4,
    _pickle,
]


def run(
    folder: Path,
    files: list[str],
    read: Callable[[Path], object],
    count: int,
    seed: int = 0,
) -> Counter[str]:
    """Reads mutants of files of a folder, one changed at a time.

    Returns:
        Counter: How many were read, and how many refused, by error.
    """
    random, found = Random(seed), Counter[str]()
    originals = {name: (folder / name).read_bytes() for name in files}
    around = _listing(folder.parent) - _listing(folder)
    for number in range(count):
        name = random.choice(files)
        content = mutated(originals[name], random)
        (folder / name).write_bytes(content)
        try:
            with _limit():
                read(folder)
            found["read"] += 1
        # How the command line, and everything else, refuses.
        except (ValueError, OSError, SystemExit) as error:
            if problem := _unclear(error, Path(name).name):
                raise _kept(content, name, number, problem) from error
            found[f"refused: {type(error).__name__}"] += 1
        except BaseException as error:
            raise _kept(content, name, number, repr(error)[:500]) from error
        finally:
            (folder / name).write_bytes(originals[name])
    assert _listing(folder.parent) - _listing(folder) == around
    assert not list(folder.rglob(f"*{TRAP}*"))
    assert not Path(TRAP).exists()
    return found


def _unclear(error: BaseException, name: str) -> str:
    """What is wrong with an error itself."""
    if isinstance(error, SystemExit):
        return "" if error.code == 2 else f"exit code {error.code}"
    if isinstance(error, OSError) and name not in str(error):
        return f"an error without the file: {error!r}"
    length = len(str(error).strip())
    return "" if 0 < length < 5000 else f"a message of {length} characters"


def _kept(content: bytes, name: str, number: int, problem: str) -> AssertionError:
    path = Path(tempfile.gettempdir(), f"hostile-{Path(name).name}")
    path.write_bytes(content)
    return AssertionError(f"mutant {number} of {name}, kept as {path}: {problem}")


def report(name: str, found: Counter[str], seconds: float) -> None:
    """Prints the figures of a kind."""
    print(f"{name}: {sum(found.values())} in {seconds:.0f} s, {json.dumps(found)}")


def timed(name: str, *args: Any, **options: Any) -> Counter[str]:
    """As :func:`run`, with its figures printed."""
    start = time.monotonic()
    found = run(*args, **options)
    report(name, found, time.monotonic() - start)
    return found


def _listing(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@contextmanager
def _limit() -> Iterator[None]:
    """Nothing may take long: files are tiny."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(f"not done after {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Stopped(BaseException):
    """No error that a reader may take for one of its own."""
