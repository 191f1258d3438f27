"""Raw files: where they lie, and how they are fetched."""

import hashlib
import os
from pathlib import Path

from pyg_relational.datasets.cache import alone
from pyg_relational.datasets.downloads import discard, download

DATA_VARIABLE = "PYG_RELATIONAL_DATA"


def raw_folder(root: str, file_name: str, subfolder: str = "") -> str:
    """Returns the folder of a raw file.

    It is `<PYG_RELATIONAL_DATA>/<subfolder>` if that has the file, else `root/raw`.

    Args:
        root (str): Folder of the dataset.
        file_name (str): Name of the raw file.
        subfolder (str): Where the file lies below the folder that the environment
            variable names. (default: `""`)
    """
    shared = os.environ.get(DATA_VARIABLE)
    if shared and Path(shared, subfolder, file_name).is_file():
        return str(Path(shared, subfolder))
    return str(Path(root, "raw"))


def fetch_raw(url: str, path: str | Path, sha256: str | None = None) -> Path:
    """Downloads a raw file, which is then complete and checked, or not there.

    A connection that breaks is tried again and continues where it broke, and so does
    the next call after one that failed or was killed; see
    :func:`~pyg_relational.datasets.downloads.download` for when, proxies and limits. Of
    several processes one fetches the file, while the others wait.

    Args:
        url (str): Where the file is on the internet.
        path (str or Path): Where it goes; its folder is made where it is missing.
        sha256 (str, optional): The expected checksum. (default: `None`)

    Raises:
        OSError: The file cannot be fetched or written.
        ValueError: The checksum is another one.
    """
    path = Path(path)
    missing = not path.exists()
    try:
        with alone(path):
            # Another process may have fetched it meanwhile.
            if not (missing and path.exists()):
                _fetch(url, path, sha256)
    except OSError as error:
        raise OSError(
            f"Cannot download {url} to {str(path)!r} ({error}). Fetch it elsewhere and "
            f"put it there by hand, or set {DATA_VARIABLE} to a folder that has it."
        ) from error
    return path


def _fetch(url: str, path: Path, sha256: str | None) -> None:
    # The same for all processes: what one that was killed had is found by the next.
    partial = path.with_name(f".{path.name}.partial")
    download(url, partial, checked=sha256 is not None)
    if sha256 is not None:
        try:
            check_sha256(partial, sha256, url)
        except ValueError:
            discard(partial)
            raise
    partial.replace(path)
    discard(partial)


def check_sha256(path: str | Path, sha256: str, source: str | None = None) -> None:
    """Checks that a file has the expected content.

    Args:
        path (str or Path): The file.
        sha256 (str): The expected checksum.
        source (str, optional): What the message calls the file. (default: its path)

    Raises:
        ValueError: The checksum is another one.
    """
    with Path(path).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ValueError(
            f"Expected {source or str(path)!r} to have the SHA-256 {sha256}, got "
            f"{found}. The file is damaged or another version: fetch it again."
        )
