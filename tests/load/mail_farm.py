"""A world of mail for the load cases of the checks, in a process of its own: name server and mail hosts on loopback.

Every name has a mail host at 127.0.0.1 that knows `jane` and nobody else, after the given delay for each answer; the
host of `hang.net` is at 127.0.0.2, takes connections and never says a word. Prints its two ports.
"""

import argparse
import asyncio
import contextlib
from functools import partial

from dnslib import MX, QTYPE, RR, A, DNSRecord  # type: ignore[import-untyped]  # it has no annotations

_HANGING = "hang.net"


class _Names(asyncio.DatagramProtocol):
    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        asyncio.get_running_loop().call_later(self._delay_s, self._answer, data, addr)

    def _answer(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = DNSRecord.parse(data).reply()
        name, kind = str(reply.q.qname), QTYPE[reply.q.qtype]
        if kind == "MX":
            reply.add_answer(RR(name, QTYPE.MX, rdata=MX(f"mx.{name}", 10), ttl=300))
        elif kind == "A":
            address = "127.0.0.2" if name.rstrip(".").endswith(_HANGING) else "127.0.0.1"
            reply.add_answer(RR(name, QTYPE.A, rdata=A(address), ttl=300))
        self._transport.sendto(reply.pack(), addr)  # type: ignore[attr-defined]  # a datagram transport


async def _mail_host(delay_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, EOFError):
        await _say(writer, "220 mx ESMTP", delay_s)
        while line := (await reader.readline()).decode().strip():
            if line == "QUIT":
                break
            unknown = line.startswith("RCPT") and not line.startswith("RCPT TO:<jane@")
            await _say(writer, "550 5.1.1 User unknown" if unknown else "250 2.0.0 Ok", delay_s)
    writer.close()


async def _say(writer: asyncio.StreamWriter, text: str, delay_s: float) -> None:
    await asyncio.sleep(delay_s)
    writer.write(f"{text}\r\n".encode())
    await writer.drain()


async def _silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await reader.read()
    writer.close()


async def _run(delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Names(delay_s), local_addr=("127.0.0.1", 0))
    mail = await asyncio.start_server(partial(_mail_host, delay_s), "127.0.0.1", 0, backlog=1024)
    port = mail.sockets[0].getsockname()[1]
    async with mail, await asyncio.start_server(_silence, "127.0.0.2", port):
        print(transport.get_extra_info("sockname")[1], port, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-s", type=float, default=0.05)
    asyncio.run(_run(parser.parse_args().delay_s))


if __name__ == "__main__":
    main()
