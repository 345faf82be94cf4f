"""The documentation site: it builds without a warning, leaves no page out, and needs nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return folder


def test_every_page_of_the_documentation_is_there_and_in_the_navigation(site: Path) -> None:
    begin = (site / "index.html").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / page.with_suffix(".html").name).is_file()
        assert f'href="{page.stem}.html"' in begin, page.name


@pytest.mark.parametrize(
    ("page", "word"),
    [
        ("python", "GraphModule"),
        ("cli", "--batches-per-epoch"),
        ("c", "trainer_step"),
        ("javascript", "loadGraph"),
        ("wit", "interface"),
    ],
)
def test_the_reference_is_made_of_the_sources(site: Path, page: str, word: str) -> None:
    assert word in re.sub("<[^>]*>", "", (site / f"reference/{page}.html").read_text())


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|iframe)[^>]*src="([^"]+)"|<link[^>]*href="([^"]+)"', page.read_text()
        )
        outside = [
            target for pair in loaded for target in pair if target.startswith(("http:", "https:", "//"))
        ]
        assert outside == [], page
