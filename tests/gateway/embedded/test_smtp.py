"""The sandbox's mail host, spoken to by another SMTP client than the checks' own."""

import asyncio
import smtplib
from collections.abc import Callable
from typing import TypeVar

import pytest

from vouchpost_gateway.embedded.smtp import SANDBOX_MAILBOXES, serve

T = TypeVar("T")


def _talk(use: Callable[[smtplib.SMTP], T]) -> T:
    """The standard library's client, in a thread of its own."""

    async def main() -> T:
        async with serve() as port:
            return await asyncio.to_thread(_client, port, use)

    return asyncio.run(main())


def _client(port: int, use: Callable[[smtplib.SMTP], T]) -> T:
    with smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
        client.ehlo("test.example")
        client.mail("probe@test.example")
        return use(client)


@pytest.mark.parametrize("address", [address for address, mailbox in SANDBOX_MAILBOXES.items() if mailbox.reply])
def test_each_mailbox_answers_as_its_table_says(address: str) -> None:
    mailbox = SANDBOX_MAILBOXES[address]

    def last(client: smtplib.SMTP) -> int:
        codes = [client.rcpt(address.replace("*", "jane"))[0] for _ in range(mailbox.refusals_first + 1)]
        return codes[-1]

    assert _talk(last) == int(mailbox.reply[:3])


def test_it_never_takes_a_message() -> None:
    assert _talk(lambda client: client.docmd("DATA")[0]) == 502


def test_it_hangs_up_where_its_table_says_so() -> None:
    def rcpt(client: smtplib.SMTP) -> str:
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.rcpt("dropped@mailbox.example")
        return "hung up"

    assert _talk(rcpt) == "hung up"


@pytest.mark.parametrize("line", [b"\xff\x00\r\n", b"RCPT\r\n", b"RCPT TO:<\r\n", b"a" * 5000 + b"\r\n"])
def test_whatever_it_is_sent_the_next_caller_is_served(line: bytes) -> None:
    async def main() -> bytes:
        async with serve() as port:
            _, hostile = await asyncio.open_connection("127.0.0.1", port)
            hostile.write(line)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            greeting = await reader.readline()
            for stream in (hostile, writer):
                stream.close()
            return greeting

    assert asyncio.run(main()).startswith(b"220 ")
