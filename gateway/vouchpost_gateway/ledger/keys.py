"""Every key of the ledger, in one table. No other module names a key, but for arq's queues and jobs: `bells.py`.

All keys of a world share one hash tag, its partition, so each script stays in one slot of a cluster.

| key                      | type   | holds                                                                       |
|--------------------------|--------|-----------------------------------------------------------------------------|
| `{vp}:meta`              | hash   | format numbers, number of partitions, generation of this ledger             |
| `{vp}:tenants`           | hash   | tenant name -> tenant                                                       |
| `{vp}:janitor`           | string | who cleans up at the moment; expires                                        |
| `{vp}:probe`             | any    | nothing: a process that starts tries what it may do                         |
| `{vp}:o:NAME:t`          | zset   | conversations with a mail operator -> when their lease ends, ms             |
| `{vp}:o:NAME:k`          | hash   | what is known of it: failures, rest, next turn, today's count; expires      |
| `{vp}:od`                | hash   | day -> conversations with all operators; expires                            |
| `{vp}:ca:PLACE`          | string | whether a domain at its mail hosts takes mail for everybody; expires        |
| `{p07}:due`              | zset   | lane -> when its earliest work is due, ms                                   |
| `{p07}:bell`             | hash   | lane -> `generation rung_until_ms slow`                                     |
| `{p07}:keys`             | hash   | short id -> API key                                                         |
| `{p07}0001:d`            | string | the tenant's data key, sealed under the master key                          |
| `{p07}0001l:k`           | zset   | when made and short id of each API key                                      |
| `{p07}0001l:p`           | hash   | partner id -> partner                                                       |
| `{p07}0001l:q`           | string | the tenant's policy, sealed                                                 |
| `{p07}0001l:n`           | hash   | last sequence, revision and count of the subscription set, in-flight totals |
|                          |        | and until when others leave room because somebody found none                |
| `{p07}0001l:r:STEM`      | string | a record: one verification, or one event that stands alone                  |
| `{p07}0001l:i:DIGEST`    | string | an idempotency entry: of a verification which one, of any other request     |
|                          |        | what it draws and then its answer, both sealed; expires                     |
| `{p07}0001l:a:ID`        | string | nothing: the resend that drew this was carried out; expires                 |
| `{p07}0001l:c:DIGEST`    | string | who checks an address now, or which record holds its verdict; expires       |
| `{p07}0001l:x:HOUR`      | zset   | stems of the records made in that hour                                      |
| `{p07}0001l:xh`          | zset   | the hours that have an index                                                |
| `{p07}0001l:s`           | hash   | number -> subscription                                                      |
| `{p07}0001l:sv`          | hash   | number -> version of the subscription                                       |
| `{p07}0001l:sc`          | zset   | number -> revision of the set at which that subscription last changed; of   |
|                          |        | those removed the latest, and '' -> up to where removals were forgotten     |
| `{p07}0001l:kv`, `:kd`   | zset   | dead letters: stems of verifications, ids of deliveries                     |
| `{p07}0001l:l:LANE:0..2` | zset   | item -> when due, ms; high, normal and low priority                         |
| `{p07}0001l:l:LANE:f`    | zset   | item in flight -> when its lease ends, ms                                   |
| `{p07}0001l:l:LANE:t`    | hash   | item in flight -> `token claims priority`                                   |
| `{p07}0001l:l:LANE:s`    | hash   | item -> what is known of it between attempts                                |
| `{p07}0001l:l:LANE:m`    | hash   | the lane itself: token counter, throttle, pause, window, health             |
| `{p07}0001l:l:LANE:y`    | zset   | the latest items of a subscription, to list its deliveries                  |
"""

from functools import lru_cache

from vouchpost_gateway.domain.lane import Lane
from vouchpost_gateway.domain.world import World

META = "{vp}:meta"
TENANTS = "{vp}:tenants"
JANITOR = "{vp}:janitor"
PROBE = "{vp}:probe"
OPERATORS_DAY = "{vp}:od"


def operator_turns(name: str) -> str:
    return f"{{vp}}:o:{name}:t"


def operator(name: str) -> str:
    return f"{{vp}}:o:{name}:k"


def catch_all(place: str) -> str:
    return f"{{vp}}:ca:{place}"


def policy(world: World) -> str:
    return world_prefix(world) + ":q"


def partition_prefix(partition: int) -> str:
    return f"{{p{partition:02d}}}"


def tenant_prefix(world: World) -> str:
    return partition_prefix(world.partition) + world.tenant_id


@lru_cache(maxsize=4096)
def world_prefix(world: World) -> str:
    return partition_prefix(world.partition) + world.name


def due_lanes(partition: int) -> str:
    return partition_prefix(partition) + ":due"


def bells(partition: int) -> str:
    return partition_prefix(partition) + ":bell"


def api_keys(partition: int) -> str:
    return partition_prefix(partition) + ":keys"


def data_key(world: World) -> str:
    return tenant_prefix(world) + ":d"


def key_list(world: World) -> str:
    return world_prefix(world) + ":k"


def partners(world: World) -> str:
    return world_prefix(world) + ":p"


def lane_part(lane: Lane, part: str) -> str:
    return f"{world_prefix(lane.world)}:l:{lane.suffix}:{part}"


@lru_cache(maxsize=16_384)
def lane(lane: Lane) -> tuple[str, ...]:
    """The keys of a lane in the order that every script takes them."""
    partition = lane.world.partition
    parts = (lane_part(lane, part) for part in "012ftsmy")
    return (due_lanes(partition), bells(partition), *parts, counters(lane.world))


def counters(world: World) -> str:
    return world_prefix(world) + ":n"


def record(world: World, stem: str) -> str:
    return f"{world_prefix(world)}:r:{stem}"


def idempotency(world: World, digest: str) -> str:
    return f"{world_prefix(world)}:i:{digest}"


def resent(world: World, drawn: str) -> str:
    return f"{world_prefix(world)}:a:{drawn}"


def verdict_cache(world: World, digest: str) -> str:
    return f"{world_prefix(world)}:c:{digest}"


def hours(world: World) -> str:
    return world_prefix(world) + ":xh"


def hour_index(world: World, hour: int) -> str:
    return f"{world_prefix(world)}:x:{hour}"


def subscriptions(world: World) -> str:
    return world_prefix(world) + ":s"


def subscription_versions(world: World) -> str:
    return world_prefix(world) + ":sv"


def subscription_changes(world: World) -> str:
    return world_prefix(world) + ":sc"


def dead_verifications(world: World) -> str:
    return world_prefix(world) + ":kv"


def dead_deliveries(world: World) -> str:
    return world_prefix(world) + ":kd"


def done_channel(world: World, stem: str) -> str:
    """Where a committed verdict is announced to those who wait for it."""
    return f"vp:done:{world.name}:{stem}"


WAKE_CHANNEL = "vp:wake"
"""Where a script that adds work wakes a drain that lingers on the lane."""
