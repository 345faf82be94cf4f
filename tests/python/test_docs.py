"""Every runnable block of the documentation runs.

A block is runnable when its fence is ```console or ```python. In a console block the lines that start with `$ ` are
commands, and those between are output, which is not compared. The blocks of one page run in order, in one directory.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script_of(language: str, text: str) -> str:
    if language == "python":
        return f"{sys.executable} - <<'END_OF_BLOCK'\n{text}END_OF_BLOCK\n"
    return "".join(f"{line[2:]}\n" for line in text.splitlines() if line.startswith("$ "))


def runnable(page: Path) -> str:
    return "".join(script_of(*match.groups()) for match in BLOCK.finditer(page.read_text()))


def missing_compiler(page: Path) -> str | None:
    """What the blocks of a page need and this machine lacks."""
    if page.stem == "write-a-guest-in-javascript" and shutil.which("componentize-qjs") is None:
        return "componentize-qjs"
    if page.stem == "write-a-guest-in-python" and importlib.util.find_spec("componentize_py") is None:
        return "componentize-py"
    return None


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_of_the_page_run(page: Path, tmp_path: Path) -> None:
    if (missing := missing_compiler(page)) and not os.environ.get("CI"):
        pytest.skip(f"{missing} is not installed")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", runnable(page)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_pages_link_to_pages_that_are_there() -> None:
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", prose):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
