from dataclasses import replace

import pytest

from vouchpost_gateway.domain.value import value


@value(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0


def test_equal_values_are_one_key() -> None:
    assert {Point(1, 2): "here"}[Point(1, 2)] == "here"
    assert Point(1) != Point(2)


def test_a_changed_copy_leaves_the_first_as_it_was() -> None:
    point = Point(1, 2)

    assert replace(point, y=3) == Point(1, 3)
    assert point == Point(1, 2)


def test_a_value_has_no_other_fields() -> None:
    with pytest.raises(AttributeError):
        Point(1).z = 3  # type: ignore[attr-defined]


def test_what_is_not_frozen_is_no_value() -> None:
    with pytest.raises(AssertionError):
        value(frozen=False, slots=True)
