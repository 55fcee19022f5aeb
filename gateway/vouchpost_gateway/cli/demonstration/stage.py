"""The stage of the demo: the machine of `vouchpost up` with short leases, and three subscribers made with the kit."""

import base64
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from vouchpost_gateway.cli.machine import LOOPBACK, Machine, listens, plan_machine
from vouchpost_gateway.embedded.home import Home
from vouchpost_gateway.embedded.ports import free_port
from vouchpost_gateway.embedded.supervisor import Child
from vouchpost_gateway.setting_types import HostPort
from vouchpost_gateway.settings import PREFIX, load_settings, variable

SUBSCRIBERS = ("signup", "crm", "marketing")

PAUSE_S = 0.25
"""Each subscriber answers so long after it applied: what is in flight at a kill was applied and nobody was told."""

# A lease outlives the attempt it guards: short attempts make short leases, and those a short demo. On a busy machine
# an attempt may fail all the same: few at a time keep its answers quick, and the next one is soon. Files of logs say
# what was wrong.
_SETTINGS = {
    "push_timeout_s": "4",
    "push_in_flight": "24",
    "delivery_schedule_s": "0,1,1,2,2,3,3,5,5,5",
    "dns_timeout_s": "3",
    "checks_max": "2",
    "checks_window_s": "5",
    "api_port": "0",
    "metrics_port": "0",
    "log_level": "warning",
}
_KEPT = variable("redis_server")
_STOP_GRACE_S = 4.0
_START_LIMIT_S = 90.0


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One of the three: where it listens, what it verifies with, and where it writes down what it applied."""

    name: str
    directory: Path
    port: int
    secret: str

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/"


@dataclass(frozen=True, slots=True)
class Stage:
    """All processes of the demo, not yet started."""

    home: Home
    machine: Machine
    subscribers: tuple[Subscriber, ...]

    @property
    def stages(self) -> list[list[Child]]:
        """What they say goes to a file each."""
        actors = [[_child(subscriber) for subscriber in self.subscribers], *self.machine.stages]
        return [[self._logged(child) for child in stage] for stage in actors]

    def _logged(self, child: Child) -> Child:
        log = self.home.path / f"{child.name}.log"
        return replace(child, log=log, stop_grace_s=_STOP_GRACE_S, start_limit_s=_START_LIMIT_S)


def plan_stage(directory: Path) -> Stage:
    """Decides everything. The demo is the same everywhere: settings of this environment do not count."""
    _forget_settings()
    for name, value in _SETTINGS.items():
        os.environ[variable(name)] = value
    home = Home(directory)
    home.directory.hold()
    machine = plan_machine(load_settings(data_dir=home.path), home, ledger_given=False)
    return Stage(home, machine, tuple(_subscriber(home.path, name) for name in SUBSCRIBERS))


def _forget_settings() -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX) and name != _KEPT:
            del os.environ[name]


def _subscriber(home: Path, name: str) -> Subscriber:
    secret = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    return Subscriber(name, home / name, free_port(), secret)


def _child(subscriber: Subscriber) -> Child:
    """By its name as a module: the gateway never imports the kit."""
    options = {"directory": subscriber.directory, "port": subscriber.port, "name": subscriber.name, "pause-s": PAUSE_S}
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return Child(
        subscriber.name,
        (sys.executable, "-P", "-m", "vouchpost.journal", *arguments),
        env | {"VOUCHPOST_SIGNING_SECRET": subscriber.secret},
        ready=listens(HostPort(LOOPBACK, subscriber.port)),
    )
