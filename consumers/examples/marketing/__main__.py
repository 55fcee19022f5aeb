"""`uv run python -m consumers.examples.marketing`, beside a running `vouchpost up`.

VOUCHPOST_API_KEY comes from the environment.
"""

import os
import secrets
import sys
from types import ModuleType
from wsgiref.simple_server import make_server

import django
from django.conf import settings
from rich.console import Console

from consumers.examples.subscribed import explained, signing_secret
from vouchpost import Client, Receiver


def configure() -> None:
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "marketing.db"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["vouchpost.integrations.django", "consumers.examples.marketing"],
        MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
        ROOT_URLCONF="marketing_urls",
        SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(32),
        USE_TZ=True,
    )
    django.setup()


def main() -> None:
    configure()
    # There are no models before Django is set up.
    from django.core.management import call_command  # noqa: PLC0415
    from django.core.wsgi import get_wsgi_application  # noqa: PLC0415

    from consumers.examples.marketing.events import router  # noqa: PLC0415
    from consumers.examples.marketing.urls import routes  # noqa: PLC0415
    from vouchpost.integrations.django.store import DjangoStore  # noqa: PLC0415

    call_command("migrate", run_syncdb=True, verbosity=0)
    port = int(os.environ.get("PORT", "8093"))
    base = f"http://127.0.0.1:{port}"
    with Client() as client, signing_secret(client, f"{base}/webhooks/vouchpost", include_address=True) as secret:
        receiver = Receiver(secrets=secret, store=DjangoStore(), router=router, name="marketing")
        urls = ModuleType("marketing_urls")
        urls.urlpatterns = routes(receiver)  # type: ignore[attr-defined]
        sys.modules[urls.__name__] = urls
        Console().print(f"{base}/ · {base}/segments/safe.csv")
        make_server("127.0.0.1", port, get_wsgi_application()).serve_forever()


if __name__ == "__main__":
    with explained():
        main()
