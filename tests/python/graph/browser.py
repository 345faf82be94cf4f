"""A headless Chromium, driven by the WebDriver protocol: as much of it as the tests of the web page need."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_SWITCHES = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
_PATIENCE_MS = 60_000  # how long the browser itself looks for an element that is not there yet
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's name for a reference to an element


class Browser:
    """One session. Elements are found by CSS selector; looking for one waits until it is there."""

    def __init__(self, driver: str, profile: Path) -> None:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        options = {"binary": program, "args": [*_SWITCHES, f"--user-data-dir={profile}"]}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options}
        self._base = f"{driver}/session"
        answer = self._post("", {"capabilities": {"alwaysMatch": capabilities}})
        self._base += f"/{answer['sessionId']}"
        self._post("/timeouts", {"implicit": _PATIENCE_MS, "script": _PATIENCE_MS})

    def open(self, url: str) -> None:
        """Loads a page."""
        self._post("/url", {"url": url})

    def choose_file(self, selector: str, path: Path) -> None:
        """As a person does it in a file dialogue."""
        self._post(f"/element/{self._find(selector)}/value", {"text": str(path)})

    def drop_files(self, selector: str, paths: Sequence[Path]) -> None:
        """As a person does it with the mouse."""
        script = """
          const [target, files] = arguments;
          const dataTransfer = new DataTransfer();
          for (const [name, bytes] of files) dataTransfer.items.add(new File([new Uint8Array(bytes)], name));
          target.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));"""
        files = [[path.name, list(path.read_bytes())] for path in paths]
        target = {_ELEMENT: self._find(selector)}
        self._post("/execute/sync", {"script": script, "args": [target, files]})

    def text(self, selector: str) -> str:
        """What an element shows."""
        return str(self._ask("GET", f"/element/{self._find(selector)}/text"))

    def evaluate(self, function: str, *arguments: Any) -> Any:
        """What an asynchronous JavaScript function, as source text, returns for arguments of JSON."""
        script = f"""
          const done = arguments[arguments.length - 1];
          ({function})(...[...arguments].slice(0, -1)).then(done, (error) => done(`failed: ${{error.stack}}`));"""
        return self._post("/execute/async", {"script": script, "args": list(arguments)})

    def close(self) -> None:
        """Ends the browser."""
        self._ask("DELETE", "")

    def _find(self, selector: str) -> str:
        found = self._post("/element", {"using": "css selector", "value": selector})
        return str(found[_ELEMENT])

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._ask("POST", path, json.dumps(body).encode())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self._base + path, body, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {json.load(error)['value']['message']}") from error


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile, ended afterwards."""
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        assert driver.stdout is not None
        port = next(
            found[1] for line in driver.stdout if (found := re.search(r"successfully on port (\d+)", line))
        )
        session = Browser(f"http://127.0.0.1:{port}", profile)
        try:
            yield session
        finally:
            session.close()
    finally:
        driver.terminate()
        driver.wait()
