"""Configuration of the documentation site, which `make docs` builds.

Sphinx reads the repository from its root, so that links between pages, dataset cards
and pictures are the same on the site as in the repository.
"""

import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module, resources
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

import pyg_relational

GUIDE = Path(__file__).parent
REFERENCE = GUIDE / "api"
# Subpackages whose names have a section of their own on the page above.
SECTIONS = {"nn": ("conv", "aggr", "recurrent")}

project = "pyg_relational"
version = release = pyg_relational.__version__

root_doc = "examples/guide/index"
include_patterns = [
    "examples/guide/**",
    "examples/results/README.md",
    "datasets/*/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = [
    ".*",
    "build",
    "dist",
    "pyg_relational",
    "tests",
    "runs",
    "studies",
    "datasets/*/raw",
    "datasets/*/processed",
    "datasets/*/embeddings",
]
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autosummary_generate = False
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_inherit_docstrings = False
autodoc_typehints = "none"
autodoc_preserve_defaults = True
napoleon_custom_sections = ["Shapes"]
napoleon_use_rtype = False
python_display_short_literal_types = True

toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "pyg_relational"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
# Pages opened as files may not fetch each other, which excerpts would need.
html_show_search_summary = False
html_additional_pages = {"index": "redirect.html"}
templates_path = ["templates"]
# One script with its fonts, so that formulas need no network.
MATHJAX = "tex-svg-full.js"
mathjax_path = MATHJAX
mathjax3_config = {"options": {"enableMenu": False}, "svg": {"scale": 0.94}}


def public_subpackages() -> Iterator[ModuleType]:
    """Every subpackage that says what is public in it."""
    names = {m.name for m in pkgutil.iter_modules(pyg_relational.__path__) if m.ispkg}
    for name in sorted(names | set(dir(pyg_relational))):
        if not name.startswith("_"):
            module = import_module(f"{pyg_relational.__name__}.{name}")
            if getattr(module, "__all__", ()):
                yield module


def public_names(module: ModuleType) -> list[tuple[str, list[tuple[str, Any]]]]:
    """The parts of a page: a heading, and import paths with what they lead to."""
    short = module.__name__.rpartition(".")[2]
    children = [
        import_module(f"{module.__name__}.{child}") for child in SECTIONS.get(short, ())
    ]
    paths = {
        id(getattr(owner, name)): f"{owner.__name__}.{name}"
        for owner in (*children, module)
        for name in owner.__all__
    }
    for child in children:
        values = [getattr(child, name) for name in child.__all__]
        apart = {
            v.__module__ for v in values if paths[id(v)].startswith(child.__name__)
        }
        for name, value in zip(child.__all__, values, strict=True):
            # Links from the source of a file lead to one module.
            if value.__module__ in apart:
                paths[id(value)] = f"{child.__name__}.{name}"
    parts, seen = [], set()
    for owner in (*children, module):
        found = []
        for name in sorted(owner.__all__, key=str.lower):
            value = getattr(owner, name)
            if id(value) not in seen and not inspect.ismodule(value):
                seen.add(id(value))
                found.append((paths[id(value)], value))
        if found:
            parts.append((owner.__name__.removeprefix("pyg_relational."), found))
    return parts


def summary(value: Any) -> str:
    """The first paragraph of a docstring."""
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())


def entry(path: str, value: Any) -> list[str]:
    """What documents a name."""
    if inspect.isclass(value):
        what = "exception" if issubclass(value, BaseException) else "class"
        return ["", f".. auto{what}:: {path}"]
    if callable(value):
        return ["", f".. autofunction:: {path}"]
    owner, _, name = path.rpartition(".")
    lines = ["", f".. py:data:: {name}", f"   :module: {owner}"]
    if isinstance(value, Mapping):
        keys: dict[str, list[str]] = {}
        for key, held in value.items():
            text = summary(getattr(held, "func", held))
            keys.setdefault(text, []).append(f"``{key!r}``")
        for text, alike in keys.items():
            lines += ["", f"   - {', '.join(alike)}: {text}"]
    return lines


def reference_page(module: ModuleType) -> str:
    """A page of the reference: what the subpackage is, a table, and each name."""
    name = module.__name__
    lines = [name, "=" * len(name), "", f".. automodule:: {name}", "   :no-members:"]
    parts = public_names(module)
    for heading, found in parts:
        if len(parts) > 1:
            lines += ["", heading, "-" * len(heading)]
        lines += ["", ".. autosummary::", "   :nosignatures:", ""]
        lines += [
            f"   {path.removeprefix(f'{name}.')}"
            for path, value in found
            if callable(value)
        ]
        for path, value in found:
            lines += entry(path, value)
    return "\n".join([*lines, ""])


def write_reference(app: Sphinx) -> None:
    """Writes the sources of the reference: a page for each public subpackage."""
    REFERENCE.mkdir(exist_ok=True)
    pages = {m.__name__.rpartition(".")[2]: m for m in public_subpackages()}
    texts = {f"{name}.rst": reference_page(module) for name, module in pages.items()}
    heading = ["API reference", "============="]
    toctree = ["", ".. toctree::", "   :hidden:", "", *(f"   {name}" for name in pages)]
    summaries = [
        f"- :doc:`pyg_relational.{name} <{name}>`: {summary(module)}"
        for name, module in pages.items()
    ]
    texts["index.rst"] = "\n".join([*heading, *toctree, "", *summaries, ""])
    for path in REFERENCE.iterdir():
        if path.name not in texts:
            path.unlink()
    for file, text in texts.items():
        path = REFERENCE / file
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def link_names(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Links public names in code font, such as `nn.RelationConv`, to the reference."""
    if docname.startswith("examples/guide/api/"):
        return
    places = {}
    for path, place in app.env.domains.python_domain.objects.items():
        if not place.aliased and place.objtype in ("class", "exception", "function"):
            short = path.rpartition(".")[2]
            places[path] = places[path.removeprefix("pyg_relational.")] = place
            if short != short.lower() or "_" in short:
                places[short] = place
    for literal in list(doctree.findall(nodes.literal)):
        place = places.get(literal.astext())
        if place and not isinstance(literal.parent, nodes.reference | nodes.title):
            link = make_refnode(
                app.builder, docname, place.docname, place.node_id, literal.deepcopy()
            )
            literal.replace_self(link)


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Puts MathJax beside the pages."""
    if error is None and app.builder.format == "html":
        source = resources.files("sphinx-mathjax-offline") / "static/mathjax" / MATHJAX
        target = Path(app.outdir) / "_static" / MATHJAX
        target.write_bytes(source.read_bytes())


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", write_reference)
    app.connect("doctree-resolved", link_names)
    app.connect("build-finished", copy_mathjax)
