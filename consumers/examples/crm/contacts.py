"""Contacts and their timelines. No HTTP in here."""

from datetime import UTC, datetime

from sqlalchemy import ForeignKey, String, cast, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from vouchpost import Message


class Base(DeclarativeBase):
    pass


class Contact(Base):
    """Somebody we write to. `address_version` counts the addresses; `status` is the newest verdict about the last."""

    __tablename__ = "contacts"
    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str]
    address_version: Mapped[int] = mapped_column(default=1)
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


def with_address(session: Session, contact_id: str, email: str) -> Contact:
    """The contact, new or changed, pending until there is a verdict about this address.

    What is there is written before it is read, so that no verdict comes in between.
    """
    version = Contact.address_version + 1
    changed = (
        update(Contact).where(Contact.id == contact_id).values(email=email, address_version=version, status="pending")
    )
    session.execute(changed)
    contact = session.get(Contact, contact_id)
    if contact is None:
        contact = Contact(id=contact_id, email=email, address_version=1)
        session.add(contact)
    return contact


def settle(session: Session, contact_id: str, version: str, status: str) -> None:
    """Takes in what was found about an address, if it is the present one, which the database compares as it writes."""
    is_present = cast(Contact.address_version, String) == version
    session.execute(update(Contact).where(Contact.id == contact_id, is_present).values(status=status))


def learn(message: Message, session: Session) -> None:
    """Takes a verdict in. Called once per event, and never with an older verdict after a newer one.

    The timeline keeps what was found about earlier addresses too; the status is that of the present one.
    """
    verdict = message.verdict
    contact = session.get(Contact, verdict.subject_id or "")
    if contact is None:
        return
    settle(session, contact.id, str(verdict.metadata.get("address_version")), verdict.status)
    checked_at = verdict.checked_at or message.timestamp or datetime.now(UTC)
    contact.timeline.append(
        Entry(event_id=message.id, status=verdict.status, reason_code=verdict.reason_code, checked_at=checked_at)
    )


def all_contacts(session: Session) -> list[Contact]:
    return list(session.scalars(select(Contact).order_by(Contact.id).limit(1000)))
