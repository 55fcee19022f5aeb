"""What the tests of the checks share: a verifier on the sandbox's zone."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from vouchpost_gateway.checks.verifier import Verifier
from vouchpost_gateway.domain.question import Question
from vouchpost_gateway.domain.verification import Depth, Verdict
from vouchpost_gateway.domain.world import Mode
from vouchpost_gateway.embedded.dns import serve

# Nobody listens there: a live question that reaches the network fails at once.
NOWHERE = "127.0.0.1:9"

Ask = Callable[..., list[Verdict]]


@pytest.fixture
def ask() -> Ask:
    """Asks the addresses one after the other, in one process with one sandbox."""

    def run(
        addresses: Sequence[str],
        *,
        depth: Depth = Depth.DOMAIN,
        mode: Mode = Mode.TEST,
        health_from: Depth = Depth.MAILBOX,
    ) -> list[Verdict]:
        async def main() -> list[Verdict]:
            async with serve() as port:
                verifier = Verifier.open(
                    dns_servers=[NOWHERE],
                    dns_timeout_s=2.5,
                    sandbox_dns=f"127.0.0.1:{port}",
                    health_from=health_from,
                )
                verdicts = [await verifier.verify(Question(address, depth, mode)) for address in addresses]
                await verifier.aclose()
                return verdicts

        return asyncio.run(main())

    return run
