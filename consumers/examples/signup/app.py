"""The signup service over HTTP, with a page that shows the status as it changes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import Body, FastAPI, HTTPException
from fastapi.responses import HTMLResponse
from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.routing import Route

from consumers.examples.signup.accounts import Account
from consumers.examples.signup.pages import ACCOUNT, SIGN_UP
from consumers.examples.signup.service import SignupService
from vouchpost import InvalidAddressError
from vouchpost.integrations.starlette import endpoint

_LINK_S: Final = 86_400
Email = Annotated[str, Body(embed=True)]


class Links:
    """Confirmation links: signed, for one version of one account's address, good for a day."""

    def __init__(self, secret: str) -> None:
        self._serializer = URLSafeTimedSerializer(secret, salt="confirm-address")

    def token(self, account: Account) -> str:
        return self._serializer.dumps([account.id, account.address_version])

    def read(self, token: str) -> tuple[str, int]:
        """BadSignature for anything that `token` did not make, or too long ago."""
        account_id, version = self._serializer.loads(token, max_age=_LINK_S)
        return account_id, version


def application(service: SignupService, links: Links) -> FastAPI:
    """Plain functions: FastAPI runs them on threads, as the database is a plain one."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        service.submitter.start()
        yield
        service.submitter.stop()

    app = FastAPI(lifespan=lifespan)
    app.router.routes.append(Route("/webhooks/vouchpost", endpoint(service.receiver), methods=["POST"]))

    @app.post("/signup", status_code=201)
    def sign_up(email: Email) -> dict[str, Any]:
        return _shown(_or_422(lambda: service.sign_up(email)))

    @app.put("/accounts/{account_id}/email")
    def change_address(account_id: str, email: Email) -> dict[str, Any]:
        return _shown(_or_422(lambda: service.change_address(account_id, email)))

    @app.get("/accounts/{account_id}")
    def show(account_id: str) -> dict[str, Any]:
        return _shown(service.account(account_id))

    @app.post("/accounts/{account_id}/invites", status_code=202)
    def invite(account_id: str) -> dict[str, str]:
        if not _shown(service.account(account_id))["may_invite"]:
            raise HTTPException(403, "Invites open once your address is verified and confirmed.")
        return {"invite": "on its way"}

    @app.get("/confirm/{token}")
    def confirm(token: str) -> dict[str, bool]:
        try:
            account_id, version = links.read(token)
        except BadSignature as error:
            raise HTTPException(400, "This link is too old, or not complete.") from error
        return {"confirmed": service.confirm(account_id, version)}

    _add_pages(app, service)
    return app


def _add_pages(app: FastAPI, service: SignupService) -> None:
    @app.get("/")
    def index() -> HTMLResponse:
        return HTMLResponse(SIGN_UP)

    @app.get("/accounts/{account_id}/page")
    def page(account_id: str) -> HTMLResponse:
        _shown(service.account(account_id))
        return HTMLResponse(ACCOUNT)


def _or_422(work: Any) -> Account | None:
    try:
        account: Account | None = work()
    except InvalidAddressError as error:
        raise HTTPException(422, str(error)) from error
    return account


def _shown(account: Account | None) -> dict[str, Any]:
    if account is None:
        raise HTTPException(404, "There is no such account.")
    return {
        "id": account.id,
        "status": account.status,
        "confirmed": account.confirmed,
        "closed": account.closed,
        "may_invite": account.may_invite,
    }
