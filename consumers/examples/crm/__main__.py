"""`uv run python -m consumers.examples.crm`, beside a running `vouchpost up`.

VOUCHPOST_API_KEY comes from the environment.
"""

import os

from rich.console import Console
from sqlalchemy import create_engine

from consumers.examples.crm.app import Crm, application
from consumers.examples.subscribed import explained, signing_secret
from vouchpost import Client


def main() -> None:
    port = int(os.environ.get("PORT", "8092"))
    base = f"http://127.0.0.1:{port}"
    engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///crm.db"))
    with Client() as client, signing_secret(client, f"{base}/webhooks/vouchpost") as secret:
        crm = Crm(engine=engine, client=client, signing_secret=secret)
        crm.submitter.start()
        Console().print(
            f'{base}/ · curl -X PUT {base}/contacts/ann -H "content-type: application/json"'
            ' -d \'{"email": "ada@valid.example"}\'',
            soft_wrap=True,
        )
        try:
            application(crm).run(port=port)
        finally:
            crm.submitter.stop()


if __name__ == "__main__":
    with explained():
        main()
