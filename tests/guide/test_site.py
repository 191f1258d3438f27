"""The documentation site: complete, no broken link, every page opens in Chromium."""

import json
import pkgutil
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

import pyg_relational

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# As `make docs` does.
BUILD = ["--quiet", "--fail-on-warning", "--keep-going", "--jobs", "2"]
BUILD += ["--conf-dir", "examples/guide", "--doctree-dir", "build/doctrees"]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Page(HTMLParser):
    """Where a page leads, what it loads, and the places in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places = {""}
        self.feed(path.read_text("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value is not None}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        if tag in ("a", "form"):
            self.links += [found[name] for name in ("href", "action") if name in found]
        elif tag == "link" and found.get("rel") not in ("stylesheet", "icon"):
            self.links.append(found["href"])
        else:
            self.loads += [found[name] for name in ("src", "href") if name in found]


@pytest.fixture(scope="module")
def site() -> Path:
    pytest.importorskip("sphinx", reason="the extra 'docs' is not installed")
    folder = ROOT / "build" / "docs"
    shutil.rmtree(folder, ignore_errors=True)  # with pages that are no more
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *BUILD, ".", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_no_link_is_broken(site: Path, pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            target = target if parts.path else path.resolve()
            place = unquote(parts.fragment)
            if not target.is_file():
                broken.append(f"{path.relative_to(site)}: no file for {link}")
            elif target in pages and place not in pages[target].places:
                broken.append(f"{path.relative_to(site)}: no such place {link}")
    assert not broken, "\n".join(broken)


def test_nothing_comes_from_the_network(site: Path, pages: dict[Path, Page]) -> None:
    loads = {link for page in pages.values() for link in page.loads}
    loads |= {
        link
        for style in site.rglob("*.css")
        for link in re.findall(r"url\(\s*['\"]?([^'\")]+)", style.read_text("utf-8"))
    }
    assert not [link for link in loads if re.match(r"(https?:)?//", link)]


def test_every_public_name_is_documented(site: Path) -> None:
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(inventory).decode("utf-8").splitlines()
    documented = {line.split()[0] for line in lines if " py:" in line}
    packages = {
        m.name for m in pkgutil.iter_modules(pyg_relational.__path__) if m.ispkg
    }
    missing = []
    for name in sorted(packages | set(dir(pyg_relational))):
        if name.startswith("_"):
            continue
        module = import_module(f"pyg_relational.{name}")
        for public in getattr(module, "__all__", ()):
            path = re.compile(rf"pyg_relational\.{name}\.(\w+\.)?{public}")
            if not any(map(path.fullmatch, documented)):
                missing.append(f"{name}.{public}")
    assert not missing


class Browser:
    """Chromium by the WebDriver protocol."""

    def __init__(self, port: int, profile: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/session"
        options = {"args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        session = self.call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self.url += "/" + session["sessionId"]

    def call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path: Path, rest: str = "") -> None:
        self.call("POST", "/url", {"url": path.as_uri() + rest})

    def run(self, script: str, *arguments: object, wait: bool = False) -> Any:
        path = "/execute/async" if wait else "/execute/sync"
        return self.call("POST", path, {"script": script, "args": list(arguments)})

    def complaints(self) -> list[str]:
        entries = self.call("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] != "INFO"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("no chromedriver: apt-get install chromium chromium-driver")
    process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                started = re.search(r"started successfully on port (\d+)", line)
                if started:
                    break
            else:
                raise AssertionError("chromedriver did not start")
            opened = Browser(int(started[1]), tmp_path_factory.mktemp("chromium"))
            yield opened
            opened.call("DELETE", "")
        finally:
            process.terminate()


# What a reader would see amiss, once formulas are set.
AMISS = r"""
const done = arguments[arguments.length - 1];
const amiss = [];
function look() {
  for (const image of document.images)
    if (!image.naturalWidth) amiss.push("picture not shown: " + image.src);
  for (const formula of document.querySelectorAll(".math"))
    if (!formula.querySelector("mjx-container svg")) amiss.push("formula not set: " + formula.textContent);
  for (const error of document.querySelectorAll("[data-mml-node=merror]"))
    amiss.push("formula in error: " + error.textContent);
  for (const unknown of document.querySelectorAll("mjx-container [fill=red]"))
    amiss.push("unknown macro in a formula: " + unknown.textContent);
  const words = document.body.cloneNode(true);
  words.querySelectorAll("pre, code, script, style, mjx-container").forEach(e => e.remove());
  const raw = words.textContent.match(/.{0,20}\\(frac|sum|mathbf|mathcal|mathrm|\(|\[).{0,20}/);
  if (raw) amiss.push("raw formula: " + raw[0]);
  if (!document.body.innerText.trim()) amiss.push("nothing to see");
  done([amiss, document.querySelectorAll("mjx-container svg").length]);
}
(function wait() {
  const formulas = document.querySelector(".math");
  const set = formulas ? window.MathJax?.startup?.promise : Promise.resolve();
  if (document.readyState === "complete" && set) set.then(look);
  else setTimeout(wait, 20);
})();
"""  # noqa: E501


def test_every_page_opens(
    site: Path, pages: dict[Path, Page], browser: Browser
) -> None:
    problems, formulas = [], 0
    for path in sorted(pages.keys() - {site / "index.html"}):
        browser.open(path)
        amiss, set_here = browser.run(AMISS, wait=True)
        formulas += set_here
        amiss += browser.complaints()
        problems += [f"{path.relative_to(site)}: {what}" for what in amiss]
    assert not problems, "\n".join(problems)
    assert formulas > 100


def test_search_finds_a_layer(site: Path, browser: Browser) -> None:
    browser.open(site / "search.html", "?q=RelationConv")
    found = browser.run(
        """
        const done = arguments[arguments.length - 1];
        setInterval(() => {
          const links = [...document.querySelectorAll("#search-results li a")];
          if (links.length) done(links.map(link => [link.textContent, link.href]));
        }, 50);
        """,
        wait=True,
    )
    (target,) = {link for text, link in found if text.endswith("nn.RelationConv")}
    parts = urlsplit(target)
    page = Page(Path(unquote(parts.path)))
    assert unquote(parts.fragment) in page.places


def test_the_first_page_leads_to_the_guide(site: Path, browser: Browser) -> None:
    browser.open(site / "index.html")
    guide = (site / "examples" / "guide" / "index.html").as_uri()
    for _ in range(100):
        if browser.call("GET", "/url") == guide:
            return
        time.sleep(0.05)
    raise AssertionError("no redirect")
