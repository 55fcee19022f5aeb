"""Accounts and their rules. No HTTP in here; the clock comes in as an argument.

Each change is one statement: what it depends on is in its WHERE, so that nothing can come in between.
"""

from typing import Any, Final
from uuid import uuid4

from sqlalchemy import BigInteger, String, cast, func, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

GRACE_S: Final = 7 * 86_400
"""How long an account may stay invalid before it is closed: time enough to mend a typing mistake."""


class Base(DeclarativeBase):
    pass


class Account(Base):
    """`address_version` counts changes of the address; a verdict about an earlier one says nothing about this one."""

    __tablename__ = "accounts"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: uuid4().hex)
    email: Mapped[str]
    address_version: Mapped[int] = mapped_column(default=1)
    status: Mapped[str] = mapped_column(default="pending")
    reason_code: Mapped[str] = mapped_column(default="")
    confirmed: Mapped[bool] = mapped_column(default=False)
    invalid_since_s: Mapped[int | None] = mapped_column(BigInteger, default=None)
    closed: Mapped[bool] = mapped_column(default=False)

    @property
    def may_invite(self) -> bool:
        """Invites and trials are what bots come for: they need an address that works and that was confirmed."""
        return not self.closed and self.confirmed and self.status in {"valid", "risky"}


def change_address(session: Session, account_id: str, email: str) -> Account | None:
    """Nothing that was known of the old address is true of the new one."""
    unknown = {"status": "pending", "reason_code": "", "confirmed": False, "invalid_since_s": None}
    version = Account.address_version + 1
    session.execute(
        update(Account).where(Account.id == account_id).values(email=email, address_version=version, **unknown)
    )
    return session.get(Account, account_id)


def confirm(session: Session, account_id: str, version: int) -> bool:
    """Whether the link was for the present address."""
    return _changed(session, account_id, version, confirmed=True)


def settle(session: Session, account_id: str, version: str, *, status: str, reason_code: str, now_s: int) -> None:
    """Takes in what was found about an address, if it is the present one."""
    since_s = func.coalesce(Account.invalid_since_s, now_s) if status == "invalid" else None
    _changed(session, account_id, version, status=status, reason_code=reason_code, invalid_since_s=since_s)


def _changed(session: Session, account_id: str, version: int | str, **values: Any) -> bool:
    """Compared by the database as it writes: read before, the address could be another one by then."""
    is_present = cast(Account.address_version, String) == str(version)
    changed = session.execute(update(Account).where(Account.id == account_id, is_present).values(values))
    return bool(changed.rowcount)


def close_invalid(session: Session, *, now_s: int) -> int:
    """Closes the accounts whose address stayed invalid for the whole grace period, and returns how many."""
    overdue = Account.invalid_since_s <= now_s - GRACE_S
    return session.execute(update(Account).where(overdue, Account.closed.is_(False)).values(closed=True)).rowcount
