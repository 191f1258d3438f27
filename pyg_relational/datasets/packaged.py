"""Data files that installed packages ship, and files of the same format."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

from pyg_relational.datasets.archives import gunzip

GZIP_START = b"\x1f\x8b"


def packaged_file(package: str, module: str, name: str) -> Path:
    """Returns the path of a data file of an installed package, without importing it.

    Args:
        package (str): Name by which the package is installed.
        module (str): Name by which it is imported.
        name (str): Path of the file inside the package.

    Raises:
        ModuleNotFoundError: The package is not installed.
        FileNotFoundError: The installed package has no such file.
    """
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"The data is shipped by the package {package!r}, which is not installed: "
            "`pip install 'pyg-relational[data]'`, or pass `path` with a file of the "
            "same format.",
            name=module,
        )
    path = Path(spec.submodule_search_locations[0], name)
    if not path.is_file():
        raise FileNotFoundError(
            f"The installed package {package!r} has no file {name!r}: install it "
            "again, or pass `path` with a file of the same format."
        )
    return path


def read_text(path: str | Path, sha256: str | None = None) -> str:
    """Returns the text of a UTF-8 file, which may be compressed by gzip.

    Args:
        path (str or Path): The file.
        sha256 (str, optional): The expected checksum of the uncompressed bytes.
            (default: `None`)

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The checksum is another one.
    """
    content = _read_bytes(path)
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(
            f"Expected the content of {str(path)!r} to have the SHA-256 {sha256}, got "
            f"{found}: another version of the package, so results would not compare. "
            "To use this file all the same, pass it as `path`."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected {str(path)!r} to be UTF-8 text ({error}): the file is damaged."
        ) from error


def content_tag(path: str | Path | None) -> str:
    """Returns what tells the content of a given file in the name of a stored one.

    Args:
        path (str or Path, optional): The file; nothing is added for `None`.
    """
    if path is None:
        return ""
    return f"-file{hashlib.sha256(_read_bytes(path)).hexdigest()[:12]}"


def _read_bytes(path: str | Path) -> bytes:
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"Expected `path` to be a file, found none at {str(path)!r}."
        )
    content = Path(path).read_bytes()
    return gunzip(content, path) if content.startswith(GZIP_START) else content
