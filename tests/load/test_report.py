"""The table of the README."""

from typing import Any

from tests.load.report import markdown

_ROW: dict[str, Any] = {"what": "a figure", "must": "≤ 2", "aim": "1", "measured": "3", "machine": {}}


def test_the_table_says_of_each_figure_that_something_is_asked_of_whether_it_was_met() -> None:
    rows = [_ROW | {"ok": True}, _ROW | {"ok": False}, _ROW | {"must": "", "ok": True}]

    _, _, met, missed, nothing_asked, *_ = markdown(rows).splitlines()

    assert met == "| a figure | ≤ 2 | 1 | 3 | met |"
    assert missed == "| a figure | ≤ 2 | 1 | 3 | **missed** |"
    assert nothing_asked == "| a figure |  | 1 | 3 |  |"
