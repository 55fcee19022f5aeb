"""What the stores' tests share: a PostgreSQL started once, where the machine has one."""

from collections.abc import Iterator

import pytest

from tests.consumers.stores.postgres import binaries, private_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    folder = binaries()
    if folder is None:
        pytest.skip("there is no PostgreSQL on this machine")
    with private_server(folder) as address:
        yield address
