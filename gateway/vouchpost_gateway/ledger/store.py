"""The one door to Redis: scripts and plain commands, on a single server or on a cluster.

It hides pipelining, `NOSCRIPT`, and a cluster's `MOVED`, `ASK` and `TRYAGAIN`. Every script answers a repeat of
itself, so a script whose reply was lost is sent once more.
"""

import asyncio
from binascii import crc_hqx
from collections.abc import Awaitable, Callable, Sequence

from vouchpost_gateway.domain.errors import LedgerUnavailable, NotReplicated
from vouchpost_gateway.ledger.connection import Address, Argument, Connection, LedgerRefused, Reply
from vouchpost_gateway.ledger.scripts import Script, load

_WITNESS = load("witness")
_SLOTS = 16384
_MAX_REDIRECTS = 8
_MOVE_PATIENCE_S = 2.0
"""How long a script waits for a slot that is being moved: with keys on both sides, no server runs it."""

_REPLICATION_LIMIT_MS = 1000


class Store:
    """Where the ledger is kept. `aclose` when done; opened lazily, so a dead Redis is found at the first call."""

    def __init__(self, url: str, *, reply_limit_s: float = 2.0, connect_limit_s: float = 1.0) -> None:
        self._address = Address.parse(url)
        self._limits = (reply_limit_s, connect_limit_s)
        self._seed = self._connection_to(self._address)
        self._nodes: dict[tuple[str, int], Connection] = {}
        self._owner_of_slot: list[Connection] | None = None
        self._waiting: dict[Connection, Connection] = {}

    def _connection_to(self, address: Address) -> Connection:
        return Connection(address, reply_limit_s=self._limits[0], connect_limit_s=self._limits[1])

    @property
    def address(self) -> Address:
        return self._address

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Reply:
        """Runs a script whose keys all lie in one slot. Sent again once when the reply was lost."""
        command = ("EVALSHA", script.sha, len(keys), *keys, *arguments)
        try:
            return await self._run_known(script, keys[0], command)
        except LedgerRefused:
            raise
        except LedgerUnavailable:
            return await self._run_known(script, keys[0], command)

    async def _run_known(self, script: Script, key: str, command: tuple[Argument, ...]) -> Reply:
        try:
            return await self._send(key, command)
        except LedgerRefused as error:
            if error.code != "NOSCRIPT":
                raise
        return await self._send(key, ("EVAL", script.text, *command[2:]))

    async def call(self, name: str, key: str, *arguments: Argument) -> Reply:
        """Runs one plain command on the server that holds `key`."""
        return await self._send(key, (name, key, *arguments))

    async def replicated(self, key: str, witness: str, replicas: int) -> None:
        """Returns once so many replicas have what is stored at `key`; NotReplicated otherwise.

        `WAIT` waits for the last write of its own connection, so one is made right before it, into the hash `witness`:
        what is at `key` may have been written by another process. The connection is one of its own, because `WAIT`
        holds up whatever comes behind it. It tells, it does not undo: the caller's repeat will find the write.
        """
        owner = self._seed if self._owner_of_slot is None else self._owner(slot_of(key))
        writing = ("EVAL", _WITNESS.text, 2, key, witness)
        is_here, reached = await self._beside(owner).call_both(writing, ("WAIT", replicas, _REPLICATION_LIMIT_MS))
        if not is_here or int(reached) < replicas:
            raise NotReplicated(f"the write has not reached {replicas} replicas in time")

    def _beside(self, connection: Connection) -> Connection:
        """A second connection to the same server, for commands that take their time."""
        if connection not in self._waiting:
            longer_s = self._limits[0] + _REPLICATION_LIMIT_MS / 1000
            self._waiting[connection] = Connection(
                connection.address, reply_limit_s=longer_s, connect_limit_s=self._limits[1]
            )
        return self._waiting[connection]

    async def ask(self, *command: Argument) -> Reply:
        """Runs a command that is about the server, not about a key, on the server that the URL names."""
        return await self._seed.call(*command)

    async def _send(self, key: str, command: tuple[Argument, ...]) -> Reply:
        if self._owner_of_slot is None:
            try:
                return await self._seed.call(*command)
            except LedgerRefused as error:
                if error.code not in {"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"}:
                    raise
                await self._learn_slots()
        return await self._send_in_cluster(slot_of(key), command)

    async def _send_in_cluster(self, slot: int, command: tuple[Argument, ...]) -> Reply:
        """Follows a slot wherever a resharding or a failover has moved it, in a bounded number of steps."""
        send: Callable[..., Awaitable[Reply]] = self._owner(slot).call
        gives_up = asyncio.get_running_loop().time() + _MOVE_PATIENCE_S
        for step in range(_MAX_REDIRECTS):
            try:
                return await send(*command)
            except LedgerRefused as error:
                if asyncio.get_running_loop().time() >= gives_up:
                    raise
                send = await self._after(error, slot, step)
            except LedgerUnavailable:
                if step:
                    raise
                await self._learn_slots()
                send = self._owner(slot).call
        raise LedgerUnavailable("the cluster kept redirecting")

    async def _after(self, error: LedgerRefused, slot: int, step: int) -> Callable[..., Awaitable[Reply]]:
        if error.code == "ASK":
            return self._node(*_target(error)).call_asking
        if error.code == "MOVED":
            node = self._node(*_target(error))
            assert self._owner_of_slot is not None
            self._owner_of_slot[slot] = node
            return node.call
        if error.code in {"TRYAGAIN", "CLUSTERDOWN", "LOADING"}:
            await asyncio.sleep(0.02 * 2**step)
            return self._owner(slot).call
        raise error

    def _owner(self, slot: int) -> Connection:
        assert self._owner_of_slot is not None
        return self._owner_of_slot[slot]

    def _node(self, host: str, port: int) -> Connection:
        if (host, port) not in self._nodes:
            a = self._address
            address = Address(host or a.host, port, username=a.username, password=a.password, tls=a.tls)
            self._nodes[host, port] = self._connection_to(address)
        return self._nodes[host, port]

    async def _learn_slots(self) -> None:
        """Asks any node that answers which node owns which slot."""
        owners = [self._seed] * _SLOTS
        for first, last, (host, port, *_), *_replicas in await self._slot_ranges():
            owners[first : last + 1] = [self._node((host or b"").decode(), port)] * (last + 1 - first)
        self._owner_of_slot = owners

    async def _slot_ranges(self) -> Reply:
        for connection in [self._seed, *self._nodes.values()]:
            try:
                return await connection.call("CLUSTER", "SLOTS")
            except LedgerUnavailable as error:
                last = error
        raise last

    async def aclose(self) -> None:
        for connection in [self._seed, *self._nodes.values(), *self._waiting.values()]:
            await connection.aclose()


def _target(error: LedgerRefused) -> tuple[str, int]:
    host, _, port = str(error).split(" ")[2].rpartition(":")
    return host, int(port)


def slot_of(key: str) -> int:
    """The cluster slot of a key: CRC16 of its hash tag (Redis Cluster specification, "Hash tags")."""
    start = key.find("{")
    end = key.find("}", start + 1)
    tag = key[start + 1 : end] if start >= 0 and end > start + 1 else key
    return crc_hqx(tag.encode(), 0) % _SLOTS
