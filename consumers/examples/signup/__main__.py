"""`uv run python -m consumers.examples.signup`, beside a running `vouchpost up`.

Takes VOUCHPOST_API_KEY and VOUCHPOST_URL from the environment. Without a VOUCHPOST_SIGNING_SECRET it subscribes itself,
and removes that subscription at exit.
"""

import os
import secrets
import threading
import time

import uvicorn
from rich.console import Console
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from consumers.examples.signup.accounts import Account, close_invalid
from consumers.examples.signup.app import Links, application
from consumers.examples.signup.service import SignupService
from consumers.examples.subscribed import explained, signing_secret
from vouchpost import Client


def close_now_and_then(engine: Engine) -> None:
    """Once a minute, for as long as the process lives."""
    while True:
        with Session(engine) as session, session.begin():
            close_invalid(session, now_s=int(time.time()))
        time.sleep(60)


def main() -> None:
    console, port = Console(), int(os.environ.get("PORT", "8091"))
    base = f"http://127.0.0.1:{port}"
    engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///signup.db"))
    links = Links(os.environ.get("SECRET_KEY") or secrets.token_hex(32))

    def tell(account: Account) -> None:  # a real service sends a mail here
        console.print(
            f"{base}/accounts/{account.id}/page · confirm: {base}/confirm/{links.token(account)}", soft_wrap=True
        )

    with Client() as client, signing_secret(client, f"{base}/webhooks/vouchpost") as secret:
        service = SignupService(engine=engine, client=client, signing_secret=secret, told=tell)
        threading.Thread(target=close_now_and_then, args=(engine,), daemon=True).start()
        console.print(
            f"Sign up at {base}/ with an address of the sandbox: ada@valid.example, ada@disposable.example, …"
        )
        uvicorn.run(application(service, links), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    with explained():
        main()
