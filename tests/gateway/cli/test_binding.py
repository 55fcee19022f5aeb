import errno
import socket
from typing import Self

import pytest

from vouchpost_gateway.cli.binding import CannotListenError, bindable


class _Refusing:
    """A socket that cannot be bound, for reasons that need another machine, or its name servers."""

    def __init__(self, error: OSError) -> None:
        self._error = error

    def __call__(self, *_: object) -> "_Refusing":
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def setsockopt(self, *_: object) -> None:
        pass

    def bind(self, _: object) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "named"),
    [
        pytest.param(socket.gaierror(-2, "Name or service not known"), "VOUCHPOST_METRICS_HOST", id="no-such-name"),
        pytest.param(OSError(errno.EADDRNOTAVAIL, "not here"), "VOUCHPOST_METRICS_HOST", id="of-another-machine"),
        pytest.param(OSError(errno.EADDRINUSE, "taken"), "VOUCHPOST_METRICS_PORT", id="taken"),
        pytest.param(OSError(errno.EACCES, "not allowed"), "VOUCHPOST_METRICS_PORT", id="of-root"),
    ],
)
def test_the_setting_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, error: OSError, named: str) -> None:
    monkeypatch.setattr(socket, "socket", _Refusing(error))

    with pytest.raises(CannotListenError, match=f"^{named}: cannot listen on metrics:9464: "):
        bindable("metrics_port", "metrics", 9464)
