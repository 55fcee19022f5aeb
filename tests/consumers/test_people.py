"""Rows gone through in chunks: the same promises for a queryset and for a select."""

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from vouchpost import ConfigurationError, StoreUnavailableError
from vouchpost.people import people_of
from vouchpost.reverify import People, Person


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None]
    number: Mapped[str] = mapped_column(default="")
    active: Mapped[bool] = mapped_column(default=True)
    badge: Mapped[int | None]


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None]


def engine_with(folder: Path, rows: list[dict[str, Any]]) -> Engine:
    engine = create_engine(f"sqlite:///{folder / 'db'}", poolclass=NullPool)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(User), rows)
    return engine


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": 3 * number, "email": f"p{number}@example.com", "number": f"c{number}"} for number in range(count)]


def selected(folder: Path) -> People:
    engine = engine_with(folder, rows(25))
    return people_of(select(User).where(User.id >= 15).order_by(User.email), engine=engine, subject="number")


def queried(_: Path) -> People:
    from tests.consumers.django_project import empty_database

    empty_database()
    from consumers.examples.marketing.models import Recipient

    Recipient.objects.bulk_create(
        Recipient(id=row["id"] + 1, email=row["email"], subject_id=row["number"]) for row in rows(25)
    )
    return people_of(Recipient.objects.filter(id__gte=15).order_by("email"), subject="subject_id")


def managed(folder: Path) -> People:
    """A manager is as good as the queryset of everybody."""
    queried(folder)
    from consumers.examples.marketing.models import Recipient

    Recipient.objects.filter(id__lt=15).delete()
    return people_of(Recipient.objects, subject="subject_id")


@pytest.fixture(params=[selected, queried, managed])
def people(request: pytest.FixtureRequest, tmp_path: Path) -> People:
    make: Callable[[Path], People] = request.param
    return make(tmp_path)


def test_they_are_gone_through_in_the_order_of_their_keys_chunk_by_chunk(people: People) -> None:
    chunks, last = list[list[Person]](), None
    while found := people.after(last, 8):
        chunks.append(list(found))
        last = found[-1].key

    everybody = [person for chunk in chunks for person in chunk]
    assert [len(chunk) for chunk in chunks] == [8, 8, 4]
    assert people.count() == 20
    assert [person.email for person in everybody] == [f"p{number}@example.com" for number in range(5, 25)]
    assert everybody[0].subject_id == "c5"


Keyed = Callable[[Path, list[int | None]], People]


def by_badge(folder: Path, badges: list[int | None]) -> People:
    return people_of(select(User), engine=engine_with(folder, [{"badge": badge} for badge in badges]), key="badge")


def by_day(_: Path, days: list[int | None]) -> People:
    from tests.consumers.django_project import empty_database

    empty_database()
    from consumers.examples.marketing.models import Recipient

    times = [None if day is None else datetime(2026, 11, day, tzinfo=UTC) for day in days]
    Recipient.objects.bulk_create(Recipient(subject_id=str(n), checked_at=time) for n, time in enumerate(times))
    return people_of(Recipient.objects, key="checked_at")


@pytest.mark.parametrize("made", [by_badge, by_day])
@pytest.mark.parametrize("keys", [[1, 1, 2, 3], [1, 2, 2, 3]], ids=["in a chunk", "in two chunks"])
def test_a_key_that_two_rows_have_is_refused_before_either_is_lost(
    tmp_path: Path, made: Keyed, keys: list[int | None]
) -> None:
    """The next chunk begins behind the last key: it would pass over the other row that has it."""
    with pytest.raises(ConfigurationError, match=r"^(badge|checked_at) is the same in two rows"):
        made(tmp_path, keys).after(None, 2)


@pytest.mark.parametrize("made", [by_badge, by_day])
def test_a_key_that_a_row_has_not_is_refused_at_the_start(tmp_path: Path, made: Keyed) -> None:
    """One database would give these rows first, without end, and another never."""
    with pytest.raises(ConfigurationError, match=r"^(badge|checked_at) is empty in some rows"):
        made(tmp_path, [1, 2, 3, None]).after(None, 2)


def test_the_subject_is_the_key_unless_it_is_named_and_no_address_is_an_empty_one(tmp_path: Path) -> None:
    engine = engine_with(tmp_path, [{"id": 7, "email": None}])

    assert people_of(select(User.id, User.email), engine=engine).after(None, 10) == [Person(7, "", "7")]


def test_a_hundred_thousand_rows_are_never_in_memory_at_once(tmp_path: Path) -> None:
    people = people_of(select(User), engine=engine_with(tmp_path, rows(100_000)))
    people.after(None, 1)
    seen, last = 0, None
    tracemalloc.start()

    while found := people.after(last, 2000):
        seen, last = seen + len(found), found[-1].key
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert seen == 100_000
    assert peak < 5_000_000


def test_what_cannot_be_gone_through_is_said(tmp_path: Path) -> None:
    engine = engine_with(tmp_path, rows(1))

    with pytest.raises(ConfigurationError, match="not a list"):
        people_of([])
    with pytest.raises(ConfigurationError, match="engine"):
        people_of(select(User))
    with pytest.raises(ConfigurationError, match="no column mail, nick"):
        people_of(select(User), engine=engine, email="mail", subject="nick")


def selected_from_nothing(folder: Path) -> People:
    return people_of(select(User), engine=create_engine(f"sqlite:///{folder / 'empty'}", poolclass=NullPool))


def queried_by_nothing(folder: Path) -> People:
    queried(folder)
    from consumers.examples.marketing.models import Recipient

    return people_of(Recipient.objects.extra(where=["no_such_column = 'hush'"]))


@pytest.mark.parametrize("broken", [selected_from_nothing, queried_by_nothing])
def test_an_error_of_the_database_is_one_of_ours_and_names_its_kind_alone(
    tmp_path: Path, broken: Callable[[Path], People]
) -> None:
    people = broken(tmp_path)

    for read in (people.count, lambda: people.after(None, 1)):
        with pytest.raises(StoreUnavailableError, match=r"asked\. OperationalError\.$"):
            read()


def place_of(url: str, statement: Any = None, **columns: str) -> list[object]:
    """Of an engine that nobody is asked by."""
    people = people_of(select(User) if statement is None else statement, engine=create_engine(url), **columns)
    return list(people.place)  # type: ignore[attr-defined]


HERE = "postgresql+psycopg://shop:hush@db/shop?password=hush"


def test_the_place_of_a_select_is_its_database_its_tables_and_its_columns_and_nothing_secret() -> None:
    others = [
        place_of("postgresql+psycopg://shop@db/other"),
        place_of("postgresql+psycopg://shop@other/shop"),
        place_of("postgresql+psycopg://shop@/shop?host=other"),
        place_of("mysql+pymysql://shop@db/shop"),
        place_of(HERE, select(Customer)),
        place_of(HERE, key="badge"),
        place_of(HERE, email="number"),
    ]

    assert "hush" not in str(place_of(HERE))
    assert place_of(HERE) not in others


def test_the_place_of_a_select_stays_what_it_is_for_another_user_subject_or_filter() -> None:
    for url in ("postgresql+psycopg://vault_7:new@db/shop", "postgresql+psycopg://shop@db/shop?sslmode=require"):
        assert place_of(url, select(User).where(User.id > 7), subject="number") == place_of(HERE)


def test_a_file_of_sqlite_is_another_one_in_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = place_of("sqlite:///shop.db")
    monkeypatch.chdir(tmp_path)

    assert place_of("sqlite:///shop.db") == place_of(f"sqlite:///{tmp_path.resolve() / 'shop.db'}") != before


def test_the_place_of_a_queryset_is_its_database_its_model_and_its_columns(tmp_path: Path) -> None:
    queried(tmp_path)
    from consumers.examples.marketing.models import Recipient
    from vouchpost.integrations.django.models import Waiting

    def place(rows: Any, **columns: Any) -> list[object]:
        return list(people_of(rows, **columns).place)  # type: ignore[attr-defined]

    here = place(Recipient.objects)
    assert place(Recipient.objects.filter(id__gt=7).using("default"), subject="subject_id") == here
    assert here not in (place(Waiting.objects), place(Recipient.objects, email="subject_id"))
    assert here != place(Recipient.objects, key="subject_id")


def test_people_of_ones_own_stay_as_they_are(people: People) -> None:
    assert people_of(people) is people
