"""The CRM over HTTP: contacts come in, verdicts come in, a page shows both."""

from typing import Any

from flask import Flask, abort, render_template_string, request
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from consumers.examples.crm.contacts import Base, Contact, all_contacts, learn, settle, with_address
from consumers.examples.crm.pages import LIST, ONE
from vouchpost import Client, InvalidAddressError, Receiver, RequestRefusedError, Router, Verification
from vouchpost.gate import Gate
from vouchpost.integrations.flask import view
from vouchpost.outbox import Submission, Submitter
from vouchpost.stores.sql import SqlStore
from vouchpost.stores.sql_outbox import SqlOutbox


class Crm:
    """The parts that live as long as the process."""

    def __init__(self, *, engine: Engine, client: Client, signing_secret: str) -> None:
        self.engine = engine
        outbox = SqlOutbox(engine)
        outbox.create_tables()
        Base.metadata.create_all(engine)
        self.gate = Gate(outbox=outbox, client=client)
        self.submitter = Submitter(client=client, outbox=outbox, submitted=self._submitted, refused=self._refused)
        router = Router()
        router.on_verdict(learn)
        self.receiver = Receiver(secrets=signing_secret, store=SqlStore(engine), router=router, name="crm")

    def add(self, contact_id: str, email: str) -> None:
        """The contact and the submission of its address, in one transaction."""
        with Session(self.engine) as session, session.begin():
            contact = with_address(session, contact_id, email)
            version = str(contact.address_version)
            self.gate.later(session, email, subject_id=contact_id, metadata={"address_version": version})
        self.submitter.wake()

    def _submitted(self, submission: Submission, verification: Verification) -> None:
        """Verdicts of addresses that the contact had before are stale from now on."""
        with Session(self.engine) as session, session.begin():
            contact = session.get(Contact, submission.subject_id or "")
            if contact is not None and contact.email == submission.email:
                self.receiver.expect(session, subject_id=contact.id, sequence=verification.sequence)

    def _refused(self, submission: Submission, _: RequestRefusedError) -> None:
        """No verdict will come of an address that the gateway cannot even read."""
        with Session(self.engine) as session, session.begin():
            settle(session, submission.subject_id or "", submission.metadata["address_version"], "invalid")


def application(crm: Crm) -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/webhooks/vouchpost", view_func=view(crm.receiver), methods=["POST"])

    @app.put("/contacts/<contact_id>")
    def add(contact_id: str) -> tuple[dict[str, Any], int]:
        email = request.get_json().get("email")
        try:
            crm.add(contact_id, email if isinstance(email, str) else "")
        except InvalidAddressError as error:
            return {"detail": str(error)}, 422
        return {"id": contact_id, "status": "pending"}, 202

    @app.get("/")
    def index() -> str:
        with Session(crm.engine) as session:
            return render_template_string(LIST, contacts=all_contacts(session))

    @app.get("/contacts/<contact_id>")
    def show(contact_id: str) -> str:
        with Session(crm.engine) as session:
            contact = session.get(Contact, contact_id)
            if contact is None:
                abort(404)
            return render_template_string(ONE, contact=contact)

    return app
