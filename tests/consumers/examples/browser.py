"""A headless Chromium, spoken to over its DevTools socket; only where the machine has one."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.end_to_end.consumer import eventually

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def program() -> str | None:
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = count(1)

    def open(self, url: str) -> None:
        self._ask("Page.navigate", url=url)
        assert eventually(lambda: self.run("document.readyState === 'complete' && location.href !== 'about:blank'"))

    def run(self, script: str) -> Any:
        """What the expression is, in the page."""
        answer = self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self, id_: str) -> str:
        return str(self.run(f"document.getElementById({json.dumps(id_)})?.textContent ?? ''"))

    def fill(self, form: str, text: str) -> None:
        """Types into the form's address, and submits it as a person does."""
        self.run(f"document.querySelector('#{form} input[type=email]').value = {json.dumps(text)}")
        self.run(f"document.getElementById('{form}').requestSubmit()")

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(timeout=30))
            if answer.get("id") == number:
                result: dict[str, Any] = answer["result"]
                return result


@contextmanager
def opened(chromium: str, folder: Path) -> Iterator[Page]:
    """A browser with a profile of its own, which ends with the block."""
    options = ["--headless=new", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=900,700"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root
    command = [chromium, *options, f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank"]
    log = folder / "chromium.log"
    folder.mkdir(exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        assert eventually(lambda: "DevTools listening" in log.read_text(), limit_s=60)
        port = int(re.findall(r"DevTools listening on ws://127\.0\.0\.1:(\d+)/", log.read_text())[0])
        tabs = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
        address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        with connect(address, max_size=None, proxy=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(timeout=30)
