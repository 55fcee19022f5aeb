"""Whether a port can be listened on, asked before anything starts: the answer names the setting that is wrong."""

import errno
import socket
from types import MappingProxyType

from vouchpost_gateway.domain.errors import VouchpostError
from vouchpost_gateway.embedded.ports import free_port
from vouchpost_gateway.setting_types import HostPort
from vouchpost_gateway.settings import variable

_ZERO_MEANS = MappingProxyType({"api_port": "any free one", "metrics_port": "no metrics"})


class CannotListenError(VouchpostError):
    """What the settings name cannot be listened on. Not for good: port and address may be free at the next start."""


def bindable(setting: str, host: str, port: int) -> int:
    """The port, a free one for 0; CannotListenError when it cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port or free_port()))
        except OSError as error:
            name, remedy = _wrong(setting, error)
            raise CannotListenError(
                f"{variable(name)}: cannot listen on {HostPort(host, port)}: {error.strerror}; set it to {remedy}"
            ) from error
        return int(probe.getsockname()[1])


def _wrong(setting: str, error: OSError) -> tuple[str, str]:
    """Which setting it is, the port's or that of its host, and what to set it to."""
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return setting.replace("_port", "_host"), "an address of this machine"
    return setting, f"another port, or to 0 for {_ZERO_MEANS[setting]}"
