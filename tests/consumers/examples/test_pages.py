"""The signup page in a real browser: it follows an account by itself. Runs where Chromium is."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from consumers.examples.signup.app import application
from tests.consumers.examples.browser import Page, opened, program
from tests.consumers.examples.test_signup import Bench
from tests.end_to_end.consumer import eventually
from vouchpost_gateway.embedded.ports import free_port


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    chromium = program()
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    with opened(chromium, tmp_path / "profile") as page:
        yield page


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Bench, str]]:
    """The signup service on a port, beside a gateway that answers from memory."""
    bench, port = Bench(tmp_path), free_port()
    config = uvicorn.Config(application(bench.service, bench.links), port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert eventually(lambda: server.started)
    yield bench, f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=20)
    bench.engine.dispose()


def test_the_page_shows_the_status_as_it_changes(page: Page, served: tuple[Bench, str]) -> None:
    bench, url = served
    page.open(url)

    page.fill("sign-up", "ann@")
    assert eventually(lambda: "typing mistakes" in page.text("wrong"))
    page.fill("sign-up", "ann@example.com")
    assert eventually(lambda: page.text("status") == "pending")
    assert (page.text("confirmed")[:7], page.text("invite")[:10]) == ("not yet", "opens once")

    assert eventually(lambda: len(bench.gateway.taken) == 1)
    bench.push(next(iter(bench.gateway.taken.values())), "valid")
    assert eventually(lambda: page.text("status") == "valid")
    page.run(f"fetch('/confirm/{bench.told[-1]}').then(answer => answer.status)")
    assert eventually(lambda: page.text("confirmed") == "yes")
    assert page.text("invite") == "open"

    page.fill("change", "bob@example.com")
    assert eventually(lambda: page.text("status") == "pending")
    assert page.text("confirmed")[:7] == "not yet"


def test_a_service_that_is_away_is_said_and_the_page_goes_on_when_it_is_back(
    page: Page, served: tuple[Bench, str]
) -> None:
    _, url = served
    page.open(url)
    page.fill("sign-up", "ann@example.com")
    assert eventually(lambda: page.text("status") == "pending")

    page.run("window.real = window.fetch; window.fetch = () => Promise.reject(new TypeError('offline'))")
    assert eventually(lambda: "does not answer" in page.text("live"))
    page.run("window.fetch = window.real")

    assert eventually(lambda: "by itself" in page.text("live"))
