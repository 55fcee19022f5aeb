"""Accounts and their rules. No HTTP in here; the clock comes in as an argument."""

from typing import Final
from uuid import uuid4

from sqlalchemy import BigInteger, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from vouchpost import Verdict

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

    def change_address(self, email: str) -> None:
        """Nothing that was known of the old address is true of the new one."""
        self.email = email
        self.address_version += 1
        self.status, self.reason_code = "pending", ""
        self.confirmed = False
        self.invalid_since_s = None

    def learn(self, verdict: Verdict, *, now_s: int) -> None:
        """Takes a verdict in, if it is about the present address."""
        if verdict.metadata.get("address_version") != str(self.address_version):
            return
        self.settle(verdict.status, verdict.reason_code, now_s=now_s)

    def settle(self, status: str, reason_code: str, *, now_s: int) -> None:
        self.status, self.reason_code = status, reason_code
        if status != "invalid":
            self.invalid_since_s = None
        elif self.invalid_since_s is None:
            self.invalid_since_s = now_s

    @property
    def may_invite(self) -> bool:
        """Invites and trials are what bots come for: they need an address that works and that was confirmed."""
        return not self.closed and self.confirmed and self.status in {"valid", "risky"}


def close_invalid(session: Session, *, now_s: int) -> int:
    """Closes the accounts whose address stayed invalid for the whole grace period, and returns how many."""
    overdue = session.scalars(
        select(Account).where(Account.invalid_since_s <= now_s - GRACE_S, Account.closed.is_(False))
    ).all()
    for account in overdue:
        account.closed = True
    return len(overdue)
