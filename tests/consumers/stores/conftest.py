"""What the stores' tests share: database servers started once, where the machine has them."""

from collections.abc import Iterator

import pytest

from tests.consumers.stores import mariadb as mariadb_server
from tests.consumers.stores import postgres as postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    folder = postgres_server.binaries()
    if folder is None:
        pytest.skip("there is no PostgreSQL on this machine")
    with postgres_server.private_server(folder) as address:
        yield address


@pytest.fixture(scope="session")
def mariadb() -> Iterator[str]:
    program = mariadb_server.server()
    if program is None:
        pytest.skip("there is no MariaDB on this machine")
    with mariadb_server.private_server(program) as address:
        yield address
