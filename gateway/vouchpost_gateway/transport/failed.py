"""The one way an attempt ends without an answer: with a name from the closed list."""

from vouchpost_gateway.domain.outcome import Failure


class AttemptFailed(Exception):  # noqa: N818
    """No complete answer came; `failure` is all that is told about why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure
