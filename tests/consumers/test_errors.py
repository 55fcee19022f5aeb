"""The tree of errors: one root, a reason on every leaf, and the drawing at its top is true."""

import re

import vouchpost
from vouchpost import VouchpostError, errors


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
