"""Two transactions of one application, the second in the middle of the first."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


@contextmanager
def between(engine: Engine, statement: str, work: Callable[[], Any]) -> Generator[None, None, None]:
    """Does `work` as soon as a statement that begins so is about to be executed for the first time."""
    left = [work]

    def before(_: Any, __: Any, sql: str, *___: Any) -> None:
        if left and sql.startswith(statement):
            left.pop()()

    event.listen(engine, "before_cursor_execute", before)
    yield
    event.remove(engine, "before_cursor_execute", before)
    assert not left
