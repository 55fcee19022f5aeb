"""How an example starts: what it says when it cannot, and where it gets its signing secret.

That is the environment, or a subscription for this one run.
"""

import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager

from vouchpost import Client, VouchpostError


@contextmanager
def explained() -> Generator[None, None, None]:
    """Ends with one line where the kit says what is wrong: no key, or no gateway that takes it."""
    try:
        yield
    except VouchpostError as error:
        sys.exit(
            f"{error} Beside a running `vouchpost up`: export VOUCHPOST_API_KEY=… with the test key that it printed."
        )


@contextmanager
def signing_secret(client: Client, url: str, *, include_address: bool = False) -> Generator[str, None, None]:
    """A subscription made here ends with the run; what is to survive it is made once and given by the environment."""
    if given := os.environ.get("VOUCHPOST_SIGNING_SECRET"):
        yield given
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that SIGTERM leaves no subscription behind either
    subscription = client.subscribe(url, description="example", include_address=include_address)
    try:
        yield subscription.secret
    finally:
        client.unsubscribe(subscription.id)
