from pathlib import Path

import pytest
import redis

from tests.redis_servers import servers
from vouchpost_gateway.embedded.redis_server import EmbeddedRedis, RedisPlan
from vouchpost_gateway.ledger.fitness import CONFIG_NAMES, problems

CONF = (Path(__file__).parents[2] / "deploy" / "redis.conf").read_text()


@pytest.mark.parametrize("label", list(servers()))
def test_a_server_with_this_file_may_hold_the_ledger(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_config = RedisPlan.config

    def config(plan: RedisPlan) -> str:
        """The file as it is, and after it only what names this test's port and directory."""
        ours = [
            line for line in own_config(plan).splitlines() if line.split()[0] in {"port", "dir", "pidfile", "logfile"}
        ]
        return "\n".join([CONF, *ours, ""])

    monkeypatch.setattr(RedisPlan, "config", config)
    with (
        EmbeddedRedis.start(tmp_path / "data", binary=servers()[label]) as server,
        redis.Redis.from_url(server.url, decode_responses=True) as client,
    ):
        found = problems(
            info={name: str(value) for name, value in client.info().items()},
            config={name: client.config_get(name)[name] for name in CONFIG_NAMES},
        )

    assert [str(problem) for problem in found if problem.breaks] == []
