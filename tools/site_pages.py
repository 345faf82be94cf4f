"""Pages of the documentation site that are not in docs/: files of the tree as they are, and a reference of the sources.

A hook of mkdocs (mkdocs.yml). Links between files of the tree become links between pages; a link to a file that is no
page is an error of the build.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click
from wasmgrad._cli.app import app

ROOT = Path(__file__).resolve().parent.parent

WHOLE = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "conformance.md": "tests/conformance/README.md",
}
"""Pages that are a Markdown file of the tree."""

LISTED = {
    "reference/c.md": ("The C header", "guests/sdk/include/wasmgrad/training_v1.h", "c"),
    "reference/javascript.md": ("JavaScript", "guests/web/host/graph.d.ts", "typescript"),
    "reference/wit.md": ("WIT", "guests/sdk/wit/training.wit", "text"),
}
"""Pages that show a source file: title, file, language."""

ALSO = {"LICENSE": "https://www.apache.org/licenses/LICENSE-2.0", "CMakeLists.txt": None, "SECURITY.md": None}
"""Files that pages link to and that are no pages: where else they are, or None where the link is only its text."""

_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for page, source in WHOLE.items():
        files.append(
            File.generated(config, page, content=_between_pages((ROOT / source).read_text(), source, page))
        )
    for page, (title, source, language) in LISTED.items():
        text = (ROOT / source).read_text()
        content = f"# {title}\n\n`{source}`, as guests and pages use it.\n\n```{language}\n{text}```\n"
        files.append(File.generated(config, page, content=content))
    files.append(File.generated(config, "reference/cli.md", content=_command_line()))
    files.append(File.generated(config, "reference/python.md", content="# Python\n\n::: wasmgrad\n"))
    return files


def on_page_markdown(markdown: str, page: object, **_: object) -> str:
    """Turn the links of the pages of docs/, which are those of the tree, into links between pages."""
    file: File = page.file  # type: ignore[attr-defined]
    made = {*WHOLE, *LISTED, "reference/cli.md", "reference/python.md"}
    return (
        markdown if file.src_uri in made else _between_pages(markdown, f"docs/{file.src_uri}", file.src_uri)
    )


def _command_line() -> str:
    command = typer.main.get_command(app)
    with typer.Context(command, info_name="wasmgrad") as context:
        text = get_docs_for_click(obj=command, ctx=context, name="wasmgrad")
    return text.replace("# `wasmgrad`\n", "# The command line\n", 1)


def _between_pages(markdown: str, source: str, page: str) -> str:
    """The text of file `source` with the links of page `page`."""
    pages = {file: name for name, file in WHOLE.items()} | {
        file: name for name, (_, file, _) in LISTED.items()
    }
    folder = posixpath.dirname(source)

    def linked(match: re.Match[str]) -> str:
        text, target, part = match[1], posixpath.normpath(posixpath.join(folder, match[2])), match[3] or ""
        if target in ALSO:
            return text if ALSO[target] is None else f"[{text}]({ALSO[target]})"
        name = pages.get(target) or target.removeprefix("docs/")
        return f"[{text}]({posixpath.relpath(name, posixpath.dirname(page) or '.')}{part})"

    return _LINK.sub(linked, markdown)
