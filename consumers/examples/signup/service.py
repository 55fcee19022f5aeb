"""What the signup service does with accounts, each in one transaction. It never calls the gateway itself.

The submission is stored with the account, so that signing up costs no round trip and a restart loses nothing. A
`Submitter` sends it; the verdict comes back as an event.
"""

import time
from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from consumers.examples.signup.accounts import Account, Base, change_address, confirm, settle
from vouchpost import Client, InvalidAddressError, Message, Receiver, RequestRefusedError, Router, Verification
from vouchpost.address import is_plausible
from vouchpost.outbox import Submission, Submitter
from vouchpost.stores.sql import SqlStore
from vouchpost.stores.sql_outbox import SqlOutbox


class SignupService:
    """`told` is called with the account whose address is to be confirmed: send the mail there."""

    def __init__(
        self,
        *,
        engine: Engine,
        client: Client,
        signing_secret: str,
        told: Callable[[Account], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._outbox = SqlOutbox(engine)
        self._outbox.create_tables()
        Base.metadata.create_all(engine)
        self._told = told
        self.submitter = Submitter(client=client, outbox=self._outbox, submitted=self._submitted, refused=self._refused)
        self.receiver = Receiver(secrets=signing_secret, store=SqlStore(engine), router=self._router(), name="signup")

    def sign_up(self, email: str) -> Account:
        """The account at once, pending; InvalidAddressError for what is certainly a typing mistake."""
        _check(email)
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            account = Account(email=email)
            session.add(account)
            session.flush()
            self._outbox.add(_submission(account), handle=session)
        return self._announced(account)

    def change_address(self, account_id: str, email: str) -> Account | None:
        _check(email)
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            account = change_address(session, account_id, email)
            if account is None:
                return None
            self._outbox.add(_submission(account), handle=session)
        return self._announced(account)

    def confirm(self, account_id: str, address_version: int) -> bool:
        """Whether the link was for the present address."""
        with Session(self._engine) as session, session.begin():
            return confirm(session, account_id, address_version)

    def account(self, account_id: str) -> Account | None:
        with Session(self._engine) as session:
            return session.get(Account, account_id)

    def _announced(self, account: Account) -> Account:
        self.submitter.wake()
        self._told(account)
        return account

    def _submitted(self, submission: Submission, verification: Verification) -> None:
        """The gateway took it: results of earlier verifications of this account are stale from now on."""
        with Session(self._engine) as session, session.begin():
            account = session.get(Account, submission.subject_id or "")
            if account is not None and _version(account) == submission.metadata["address_version"]:
                self.receiver.expect(session, subject_id=account.id, sequence=verification.sequence)

    def _refused(self, submission: Submission, _: RequestRefusedError) -> None:
        """No verdict will come of an address that the gateway cannot even read: it does not work."""
        account_id, version = submission.subject_id or "", submission.metadata["address_version"]
        with Session(self._engine) as session, session.begin():
            settle(session, account_id, version, status="invalid", reason_code="refused", now_s=int(time.time()))

    def _router(self) -> Router:
        router = Router()

        @router.on_verdict
        def learn(message: Message, session: Session) -> None:
            found = message.verdict
            version = str(found.metadata.get("address_version"))
            settle(
                session,
                found.subject_id or "",
                version,
                status=found.status,
                reason_code=found.reason_code,
                now_s=int(time.time()),
            )

        return router


def _check(email: str) -> None:
    if not is_plausible(email):
        raise InvalidAddressError


def _submission(account: Account) -> Submission:
    return Submission(account.email, subject_id=account.id, metadata={"address_version": _version(account)})


def _version(account: Account) -> str:
    return str(account.address_version)
