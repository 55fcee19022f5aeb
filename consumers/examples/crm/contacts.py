"""Contacts and their timelines. No HTTP in here."""

from datetime import UTC, datetime

from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from vouchpost import Message


class Base(DeclarativeBase):
    pass


class Contact(Base):
    """Somebody we write to. `status` is the newest verdict about the address."""

    __tablename__ = "contacts"
    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str]
    status: Mapped[str] = mapped_column(default="pending")
    timeline: Mapped[list["Entry"]] = relationship(order_by="Entry.id", cascade="all, delete-orphan")


class Entry(Base):
    """A verdict as it came in: one row per event, so that two would show."""

    __tablename__ = "timeline"
    id: Mapped[int] = mapped_column(primary_key=True)
    contact_id: Mapped[str] = mapped_column(ForeignKey("contacts.id"), index=True)
    event_id: Mapped[str]
    status: Mapped[str]
    reason_code: Mapped[str]
    checked_at: Mapped[datetime]


def learn(message: Message, session: Session) -> None:
    """Takes a verdict in. Called once per event, and never with an older verdict after a newer one."""
    verdict = message.verdict
    contact = session.get(Contact, verdict.subject_id or "", with_for_update=True)
    if contact is None:
        return
    contact.status = verdict.status
    checked_at = verdict.checked_at or message.timestamp or datetime.now(UTC)
    contact.timeline.append(
        Entry(event_id=message.id, status=verdict.status, reason_code=verdict.reason_code, checked_at=checked_at)
    )


def all_contacts(session: Session) -> list[Contact]:
    return list(session.scalars(select(Contact).order_by(Contact.id).limit(1000)))
