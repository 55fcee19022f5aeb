"""`vouchpost listen`: receives events on a local port, verifies them, and prints them."""

import json
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Final, NoReturn

import httpx
import typer
from rich.console import Console
from rich.json import JSON
from rich.text import Text

from vouchpost.answer import Answer
from vouchpost.client import Client
from vouchpost.diagnosis import guess
from vouchpost.errors import NoMatchingSignatureError, RequestRefusedError, UnreachableError, VouchpostError
from vouchpost.listener import RECEIVED, Listener, Pairs
from vouchpost.message import Message
from vouchpost.notice import NOTICE_TYPES
from vouchpost.resources import Subscription
from vouchpost.shell import is_http_url
from vouchpost.signature import Verifier
from vouchpost.verdict import VERDICT_TYPES

_DESCRIPTION: Final = "vouchpost listen"
_PATIENCE_S: Final = 3.0  # somebody waits at a terminal
_TYPES: Final = VERDICT_TYPES | NOTICE_TYPES
_STYLES: Final = {"valid": "green", "risky": "yellow", "invalid": "red", "unknown": "magenta"}


def listen(
    *,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.", min=0, max=65535)] = 8090,
    host: Annotated[str, typer.Option(help="Address to bind to.")] = "127.0.0.1",
    subscribe: Annotated[bool, typer.Option("--subscribe", help="Subscribe now, unsubscribe at exit.")] = False,
    url: Annotated[str | None, typer.Option(help="The gateway.", envvar="VOUCHPOST_URL")] = None,
    key: Annotated[str | None, typer.Option(help="An API key of the gateway.", envvar="VOUCHPOST_API_KEY")] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--type", help="Show this event type only; may be repeated.")
    ] = None,
    forward: Annotated[str | None, typer.Option(help="Pass verified events on to this URL, as they came.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Show each request as it came: headers and bytes.")] = False,
    secret: Annotated[
        list[str] | None,
        typer.Option(help="Signing secret (whsec_…); twice while rotating.", envvar="VOUCHPOST_SIGNING_SECRET"),
    ] = None,
) -> None:
    """Receive events on a local port, verify them, and print them."""
    _check(kinds=kind or (), forward=forward)
    console = _Screen(highlight=False)
    signal.signal(signal.SIGTERM, _leave)
    try:
        listener = _bound(host, port)
        with _secrets(listener, subscribe=subscribe, url=url, key=key, given=secret or []) as secrets:
            verifier = Verifier(secrets)
            console.print(f"Listening on [bold]{listener.url}[/bold]; Ctrl+C ends it.", soft_wrap=True)
            listener.serve(
                verifier,
                seen=_shown(console, kinds=frozenset(kind or ()), forward=forward, raw=raw),
                failed=_refused(console, verifier, raw=raw),
            )
    except KeyboardInterrupt:
        console.print("Done.")
    except UnreachableError as error:
        raise _ended(f"{error} Is `vouchpost up`, or the gateway of --url, running?") from error
    except (VouchpostError, OSError) as error:
        raise _ended(str(error)) from error


class _Screen(Console):
    """Ends the whole command, not only the thread of one request, once nobody reads what it prints."""

    def on_broken_pipe(self) -> None:
        try:
            super().on_broken_pipe()
        finally:
            signal.raise_signal(signal.SIGTERM)


def _check(*, kinds: Sequence[str], forward: str | None) -> None:
    if unknown := set(kinds) - _TYPES:
        raise typer.BadParameter(f"--type {min(unknown)}: there are {', '.join(sorted(_TYPES))}")
    if forward is not None and not is_http_url(forward):
        raise typer.BadParameter(f"--forward {forward}: a URL begins with http:// or https://")


def _bound(host: str, port: int) -> Listener:
    try:
        return Listener(host=host, port=port)
    except OSError as error:
        raise _ended(f"cannot listen on {host}:{port}: {error.strerror}; --port takes another, or 0") from error


def _ended(message: str) -> typer.Exit:
    Console(stderr=True, highlight=False).print(Text(message, style="red"), soft_wrap=True)
    return typer.Exit(1)


@contextmanager
def _secrets(
    listener: Listener, *, subscribe: bool, url: str | None, key: str | None, given: list[str]
) -> Generator[list[str], None, None]:
    """The secrets to verify with: those given, or that of a subscription which lives as long as this does."""
    if not subscribe:
        if not given:
            raise typer.BadParameter("give --secret whsec_…, or --subscribe with --key vp_test_…")
        yield given
        return
    if not key:
        raise typer.BadParameter("--subscribe needs an API key: --key vp_test_…, or VOUCHPOST_API_KEY")
    with Client(key=key, url=url, total_s=_PATIENCE_S) as client:
        _remove_earlier(client, listener.url)
        subscription = _subscribed(client, listener)
        try:
            yield [subscription.secret]
        finally:
            _remove(client, subscription.id)


def _subscribed(client: Client, listener: Listener) -> Subscription:
    try:
        return client.subscribe(listener.url, description=_DESCRIPTION)
    except RequestRefusedError as error:
        if listener.is_local or "url" not in {field.field for field in error.fields}:
            raise
        raise _ended(f"{error}. No subscription leads to {listener.url}: leave --host out, or make it ::1") from error


def _remove_earlier(client: Client, url: str) -> None:
    """Those that a `listen` on this port could not remove: their events would come too, signed with other secrets."""
    for subscription in list(client.subscriptions()):
        if subscription.url == url and subscription.raw.get("description") == _DESCRIPTION:
            client.unsubscribe(subscription.id)


def _remove(client: Client, subscription_id: str) -> None:
    try:
        client.unsubscribe(subscription_id)
    except VouchpostError as error:
        raise _ended(f"subscription {subscription_id} could not be removed: {error}") from error


def _shown(
    console: Console, *, kinds: frozenset[str], forward: str | None, raw: bool
) -> Callable[[Message, Pairs], Answer]:
    """Prints, then forwards, whose answer is then ours: a sender that should try again is told so."""

    def seen(message: Message, headers: Pairs) -> Answer:
        if kinds and message.type not in kinds:
            return RECEIVED
        headline = _headline(message)
        if raw:
            _print_raw(console, headers, message.body)
        console.print(headline, JSON.from_data(json.loads(message.body), ensure_ascii=True), sep="\n", soft_wrap=True)

        if forward is None:
            return RECEIVED
        answer = _forwarded(forward, message, headers)
        console.print(Text(f"forwarded: {answer.status} {_quoted(answer.outcome)}", "dim"), soft_wrap=True)
        return answer

    return seen


def _forwarded(url: str, message: Message, headers: Pairs) -> Answer:
    """The signed bytes and headers as they came, so that they verify there as well."""
    kept = {name: value for name, value in headers if name.lower().startswith("webhook-")}
    try:
        answer = httpx.post(url, content=message.body, headers=kept | {"content-type": "application/json"}, timeout=10)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Answer(502, type(error).__name__, b"", ())
    return Answer(answer.status_code, answer.reason_phrase, b"", ())


def _headline(message: Message) -> Text:
    """One line. Whatever comes from outside is written as JSON, so that no escape sequence reaches the terminal."""
    at = datetime.fromtimestamp(message.attempted_s, UTC).strftime("%H:%M:%S")
    line = Text.assemble((f"{at} ", "dim"), (_quoted(message.type), "bold"), f" {message.id}")
    if message.type in VERDICT_TYPES:
        verdict = message.verdict
        status = Text(f" {_quoted(verdict.status)}", _STYLES.get(verdict.status, "bold"))
        line.append_text(status).append(f" {_quoted(verdict.reason_code)} {_quoted(verdict.subject_id or '')}")
    return line


def _quoted(text: str) -> str:
    return json.dumps(text)[1:-1]


def _refused(console: Console, verifier: Verifier, *, raw: bool) -> Callable[[VouchpostError, Pairs, bytes], None]:
    """Says why; where no signature matches, a guess at the reason too."""

    def failed(error: VouchpostError, headers: Pairs, body: bytes) -> None:
        console.print(Text.assemble(("refused ", "bold red"), (error.reason, "red"), f" {error}"), soft_wrap=True)
        if isinstance(error, NoMatchingSignatureError):
            console.print(Text(f"  {guess(verifier, headers=headers, body=body)}", "yellow"), soft_wrap=True)
        if raw:
            _print_raw(console, headers, body)

    return failed


def _print_raw(console: Console, headers: Pairs, body: bytes) -> None:
    lines = [f"  {_quoted(name)}: {_quoted(value)}" for name, value in headers]
    console.print(Text("\n".join([*lines, f"  {body[:2000]!r}"]), "dim"), soft_wrap=True)


def _leave(*_: object) -> NoReturn:
    """SIGTERM ends it as Ctrl+C does: with the subscription removed."""
    sys.exit(0)
