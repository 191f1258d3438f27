import gzip
import zipfile
from pathlib import Path

import pytest

from pyg_relational.datasets.downloads import gunzip, unzip


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/"), content)
    return path


def test_gunzip_is_the_inverse_of_gzip() -> None:
    assert gunzip(gzip.compress(b"abc") + gzip.compress(b"def"), "a") == b"abcdef"
    assert gunzip(gzip.compress(b"abc") + b"\0\0", "a") == b"abc"
    assert gunzip(b"", "a") == b""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"abc")[:-3], "'a.gz' is damaged .it ends in the middle"),
        (b"text", "'a.gz' is damaged"),
        (gzip.compress(b"abc") + b"text", "'a.gz' is damaged"),
        (gzip.compress(b"\0" * 10**7), "'a.gz' unpacks to more than 1000 bytes"),
        (gzip.compress(b"\0" * 900) * 2, "'a.gz' unpacks to more than 1000 bytes"),
    ],
)
def test_gunzip_refuses(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gunzip(content, "a.gz", 1000)


def test_unzip_writes_what_was_packed(tmp_path: Path) -> None:
    unzip(archive(tmp_path / "a.zip", top__a=b"1", top__sub__b=b"2"), tmp_path / "out")
    assert (tmp_path / "out" / "top" / "a").read_bytes() == b"1"
    assert (tmp_path / "out" / "top" / "sub" / "b").read_bytes() == b"2"


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/a", "c:/a", "..\\a"])
def test_unzip_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "a.zip", **{"fine": b"1", name: b"2"})
    with pytest.raises(ValueError, match="which leads out of the archive"):
        unzip(path, tmp_path / "deep" / "out")
    assert [x.name for x in tmp_path.iterdir()] == ["a.zip"]


def test_unzip_makes_no_links(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(ValueError, match="'link', which leads out of the archive"):
        unzip(tmp_path / "a.zip", tmp_path / "out")


def test_unzip_has_a_limit(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", a=b"\0" * 600, b=b"\0" * 600)
    with pytest.raises(ValueError, match="unpacks to 1200 bytes, more than 1000"):
        unzip(path, tmp_path / "out", 1000)
    assert not (tmp_path / "out").exists()
