"""Functions are told from people by whole words, never by parts of them."""

import pytest

from vouchpost_gateway.checks.role import packaged_roles


@pytest.mark.parametrize(
    "name",
    [
        "info", "INFO", "postmaster", "abuse", "sales", "sales-eu", "info.uk", "support2", "eu-sales-team", "no-reply",
        "no.reply", "do_not_reply", "noreply", "hr", "it", "customer.service", "kontakt", "ventas", "hello",
        "help+ticket-7", "mailer-daemon", "billing.dept", "jobs_de", "web-master", "admin01",
    ],
)  # fmt: skip
def test_a_function_is_a_role(name: str) -> None:
    assert packaged_roles().role_of(name) is not None


@pytest.mark.parametrize(
    "name",
    [
        "jane", "jane.doe", "info.smith", "bill", "bill.it", "jo.hr", "mark", "mark.sales.smith", "salesman", "2015",
        "123", "aaa", "informant", "helpman", "prince", "it.jones", "support.jane", "alison", "post.jan", "p.r",
        "jane+sales", "eu", "marketa", "adminsen", "me", "", "...", "de.la.cruz", "rob.office",
    ],
)  # fmt: skip
def test_a_person_is_not(name: str) -> None:
    assert packaged_roles().role_of(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "abuse",
        "noc",
        "security",
        "postmaster",
        "hostmaster",
        "usenet",
        "news",
        "webmaster",
        "www",
        "uucp",
        "ftp",
        "info",
        "marketing",
        "sales",
        "support",
    ],
)
def test_every_mailbox_name_of_rfc2142_is_a_role(name: str) -> None:
    assert packaged_roles().role_of(name) == name
