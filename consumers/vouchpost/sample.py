"""`vouchpost sample`: sends one signed event to a receiver, to see it work before there is a gateway."""

from typing import Annotated, Literal

import httpx
import typer

from vouchpost.errors import SecretError
from vouchpost.shell import no_reply
from vouchpost.signature import Verifier
from vouchpost.testing import EventFactory

Found = Literal["valid", "risky", "invalid", "unknown"]


def sample(
    url: Annotated[str, typer.Argument(help="Where the receiver listens.")],
    *,
    secret: Annotated[str, typer.Option(help="Its signing secret (whsec_…).", envvar="VOUCHPOST_SIGNING_SECRET")],
    subject_id: Annotated[str, typer.Option(help="Whose address this is about.")] = "user_42",
    status: Annotated[Found, typer.Option(help="What was found.")] = "valid",
) -> None:
    """Send one signed sample event to a receiver."""
    try:
        Verifier(secret)
        event = EventFactory(secret=secret)(subject_id=subject_id, status=status)
        answer = httpx.post(url, content=event.body, headers=event.headers, timeout=15)
    except (SecretError, httpx.HTTPError, httpx.InvalidURL) as error:
        words = no_reply(error).why if isinstance(error, httpx.ConnectError) else str(error)
        typer.secho(words, fg="red", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{answer.status_code} {answer.text}")
    raise typer.Exit(0 if answer.is_success else 1)
