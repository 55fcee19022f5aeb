"""One gateway for all end-to-end tests, a tenant for each, and consumers that end with the test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.account import Account
from tests.end_to_end.consumer import Consumer
from tests.end_to_end.machine import Machine, started


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with started(tmp_path_factory.mktemp("gateway")) as machine:
        yield machine


@pytest.fixture
def tenant(machine: Machine, request: pytest.FixtureRequest) -> Account:
    """A tenant of the test's own."""
    return machine.account(request.node.name)


@pytest.fixture
def new_consumer(tmp_path: Path) -> Iterator[Callable[[], Consumer]]:
    made: list[Consumer] = []

    def make() -> Consumer:
        directory = tmp_path / f"consumer-{len(made)}"
        directory.mkdir()
        made.append(Consumer(directory))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def consumer(new_consumer: Callable[[], Consumer]) -> Consumer:
    return new_consumer()
