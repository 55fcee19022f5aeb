"""The tree of errors: one root, a reason on every leaf, and the drawing at its top is true."""

import pickle
import re
from collections.abc import Callable

import pytest

import vouchpost
from vouchpost import (
    MalformedHeaderError,
    NotAGatewayError,
    OverloadedError,
    RequestRefusedError,
    TimestampError,
    VouchpostError,
    errors,
)


def every_class() -> list[type[VouchpostError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, VouchpostError)]


def test_the_drawing_at_the_top_names_every_error_under_its_parent() -> None:
    drawn: list[tuple[str, str]] = []
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"([│ ]*)[├└]── (\w+)|(VouchpostError)$", line):
            depth = 0 if match[3] else len(match[1]) // 4 + 1
            path[depth:] = [match[2] or match[3]]
            drawn.append((path[depth], path[depth - 1] if depth else "Exception"))

    assert drawn == [(kind.__name__, kind.__base__.__name__) for kind in every_class() if kind.__base__]


def test_every_error_is_exported_and_has_a_reason() -> None:
    for kind in every_class():
        assert getattr(vouchpost, kind.__name__) is kind
        assert re.fullmatch(r"[a-z_]+", kind.reason)
        assert kind.__doc__


WITH_FIELDS: dict[type[VouchpostError], Callable[[], VouchpostError]] = {
    MalformedHeaderError: lambda: MalformedHeaderError(reason="malformed_id", detail="an id"),
    TimestampError: lambda: TimestampError(reason="timestamp_too_old", off_by_s=301.5),
    NotAGatewayError: lambda: NotAGatewayError("status 404"),
    OverloadedError: lambda: OverloadedError(status=503, retry_after_s=2),
    RequestRefusedError: lambda: RequestRefusedError(
        status=422, title="Refused", fields=[errors.FieldError("email", "is long")]
    ),
}


@pytest.mark.parametrize("kind", every_class(), ids=lambda kind: kind.__name__)
def test_every_error_is_the_same_in_another_process(kind: type[VouchpostError]) -> None:
    error = WITH_FIELDS.get(kind, kind)()

    there = pickle.loads(pickle.dumps(error))  # noqa: S301 - of our own making

    assert type(there) is kind
    assert (str(there), there.reason, vars(there)) == (str(error), error.reason, vars(error))


@pytest.mark.parametrize(
    ("detail", "fields", "said"),
    [
        ("email: is long", [errors.FieldError("email", "is long")], "422 Refused · email: is long"),
        ("Used before.", [], "422 Refused · Used before."),
        ("", [], "422 Refused"),
    ],
)
def test_a_refusal_says_everything_once(detail: str, fields: list[errors.FieldError], said: str) -> None:
    error = RequestRefusedError(status=422, title="Refused", detail=detail, fields=fields)

    assert (str(error), error.detail) == (said, detail)
