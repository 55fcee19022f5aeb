"""Whether a port can be listened on, asked before anything starts: the answer names the setting that is wrong."""

import socket
from types import MappingProxyType

from vouchpost_gateway.domain.errors import Misconfigured
from vouchpost_gateway.embedded.ports import free_port
from vouchpost_gateway.setting_types import HostPort
from vouchpost_gateway.settings import variable

_ZERO_MEANS = MappingProxyType({"api_port": "any free one", "metrics_port": "no metrics"})


class PortTakenError(Misconfigured):
    """A port that a setting names cannot be listened on."""


def bindable(setting: str, host: str, port: int) -> int:
    """The port, a free one for 0; PortTakenError when it cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port or free_port()))
        except OSError as error:
            raise PortTakenError(
                f"{variable(setting)}: cannot listen on {HostPort(host, port)}: {error.strerror}; "
                f"set it to another port, or to 0 for {_ZERO_MEANS[setting]}"
            ) from error
        return int(probe.getsockname()[1])
