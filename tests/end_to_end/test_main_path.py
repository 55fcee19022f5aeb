"""Submit, verify, push, apply: each promise of the main path, through real processes."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from tests.end_to_end.account import Account
from tests.end_to_end.consumer import Consumer, eventually


def test_an_address_is_submitted_verified_pushed_and_applied_once(tenant: Account, consumer: Consumer) -> None:
    tenant.subscribe(consumer)

    with tenant.client() as client:
        asked = client.submit("pim.plum@valid.example", subject_id="user_42")
        found = client.wait(asked.id, seconds=20)

    assert (found.status, found.reason_code) == ("valid", "domain_accepts_mail")
    assert eventually(consumer.applied)
    (event,) = consumer.applied()
    assert event["data"]["verification_id"] == asked.id
    assert (event["data"]["subject_id"], event["data"]["sequence"]) == ("user_42", asked.sequence)
    assert event == tenant.get(f"/v1/events/{event['id']}")
    assert b"pim.plum" not in consumer.pushes[0].body


def test_the_same_request_again_is_the_same_verification(tenant: Account, consumer: Consumer) -> None:
    tenant.subscribe(consumer)
    body = {"email": "zora@nullmx.example"}

    first, again = (
        tenant.ask("POST", "/v1/verifications", json=body, headers={"idempotency-key": "order-1"}) for _ in range(2)
    )
    other = tenant.ask(
        "POST", "/v1/verifications", json={"email": "zora@nomx.example"}, headers={"idempotency-key": "order-1"}
    )

    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    tenant.verdict(first.json()["id"])
    assert eventually(consumer.applied)
    assert [event["data"]["reason_code"] for event in consumer.applied()] == ["null_mx"]
    assert len(tenant.items("/v1/verifications")) == 1


def test_a_wait_ends_with_the_verdict_and_not_before(tenant: Account) -> None:
    """The sandbox answers about slow.example after a second."""
    asked = tenant.submit("lumi@slow.example")
    at_once = tenant.get(f"/v1/verifications/{asked}?wait=0")
    started = time.monotonic()

    found = tenant.get(f"/v1/verifications/{asked}?wait=30")

    assert (at_once["status"], found["status"]) == ("pending", "valid")
    assert time.monotonic() - started < 15


def test_a_wait_that_is_over_shows_what_is_pending(tenant: Account) -> None:
    asked = tenant.submit("lumi@timeout.example")
    started = time.monotonic()

    found = tenant.get(f"/v1/verifications/{asked}?wait=1")

    assert found["status"] == "pending"
    assert 0.9 < time.monotonic() - started < 4


def test_a_delivery_is_sent_again_by_hand_and_applied_no_second_time(tenant: Account, consumer: Consumer) -> None:
    subscription = tenant.subscribe(consumer)
    asked = tenant.submit("orin@valid.test")
    assert eventually(consumer.applied)
    path = f"/v1/subscriptions/{subscription}/deliveries?state=delivered"
    assert eventually(lambda: tenant.items(path))

    tenant.post(f"/v1/deliveries/{tenant.items(path)[0]['id']}/resend")

    assert eventually(lambda: len(consumer.about(asked)) == 2)
    first, second = consumer.about(asked)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert eventually(lambda: tenant.items(path)[0]["attempt_count"] == 2)
    assert len(consumer.applied()) == 1


def test_a_subscriber_that_is_gone_is_disabled_and_the_tenant_is_told(
    tenant: Account, new_consumer: Callable[[], Consumer]
) -> None:
    gone, other = new_consumer(), new_consumer()
    subscription = tenant.subscribe(gone)
    tenant.subscribe(other)
    gone.status = 410

    tenant.submit("basil@valid.example")

    assert eventually(lambda: other.applied("subscription.disabled"))
    (told,) = other.applied("subscription.disabled")
    assert told["data"]["subscription_id"] == subscription
    shown = tenant.get(f"/v1/subscriptions/{subscription}")
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "gone")
    assert eventually(other.applied)


def test_what_came_while_it_was_disabled_is_recovered(tenant: Account, consumer: Consumer) -> None:
    since = datetime.now(UTC).isoformat()
    subscription = tenant.subscribe(consumer)
    before = tenant.submit("tam@valid.example")
    assert eventually(lambda: len(consumer.applied()) == 1)
    tenant.ask("PATCH", f"/v1/subscriptions/{subscription}", json={"enabled": False}).raise_for_status()
    missed = tenant.submit("ulla@disposable.example")
    tenant.verdict(missed)
    tenant.ask("PATCH", f"/v1/subscriptions/{subscription}", json={"enabled": True}).raise_for_status()

    tenant.post(f"/v1/subscriptions/{subscription}/recover", {"since": since})

    assert eventually(lambda: len(consumer.applied()) == 2)
    assert [event["data"]["verification_id"] for event in consumer.applied()] == [before, missed]


def test_the_address_is_in_the_event_only_where_it_was_asked_for(
    tenant: Account, new_consumer: Callable[[], Consumer]
) -> None:
    plain, trusted = new_consumer(), new_consumer()
    tenant.subscribe(plain)
    tenant.subscribe(trusted, include=["address"])

    tenant.submit("Yori.Sorrel@valid.example")

    assert eventually(lambda: plain.applied() and trusted.applied())
    assert trusted.applied()[0]["data"]["email"] == "Yori.Sorrel@valid.example"
    assert b"sorrel" not in plain.pushes[0].body.lower()


def test_what_is_erased_is_gone_and_is_pushed_to_nobody(tenant: Account, consumer: Consumer) -> None:
    consumer.status = 500
    tenant.subscribe(consumer)
    asked = tenant.submit("vero@valid.example")
    assert eventually(lambda: consumer.about(asked))
    event_id = consumer.pushes[0].headers["webhook-id"]

    assert tenant.ask("DELETE", f"/v1/verifications/{asked}").status_code == 204

    assert tenant.ask("GET", f"/v1/verifications/{asked}").status_code == 404
    assert tenant.ask("GET", f"/v1/events/{event_id}").status_code == 404
    assert tenant.items("/v1/verifications") == []
    consumer.status = None
    time.sleep(2.5)  # two of its attempts would have been due
    assert consumer.applied() == []


def test_a_partner_sees_only_its_own(tenant: Account, new_consumer: Callable[[], Consumer]) -> None:
    """Not the tenant's subscriptions and deliveries, not another partner's, and no verification."""
    ours, theirs = new_consumer(), new_consumer()
    partner, stranger = tenant.partner("acme"), tenant.partner("initech")
    own = partner.subscribe(ours)
    other = tenant.subscribe(theirs)
    asked = tenant.submit("anka@valid.example")
    assert eventually(lambda: ours.applied() and theirs.applied())
    assert eventually(lambda: tenant.items(f"/v1/subscriptions/{other}/deliveries?state=delivered"))
    (delivery,) = tenant.items(f"/v1/subscriptions/{other}/deliveries")

    assert [shown["id"] for shown in partner.items("/v1/subscriptions")] == [own]
    assert stranger.items("/v1/subscriptions") == []
    assert [one["subscription_id"] for one in partner.items(f"/v1/subscriptions/{own}/deliveries")] == [own]
    for account, subscription in ((partner, other), (stranger, own)):
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate-secret"), ("GET", "/deliveries")):
            assert account.ask(method, f"/v1/subscriptions/{subscription}{path}").status_code == 404
    assert partner.ask("GET", f"/v1/deliveries/{delivery['id']}").status_code == 404
    assert partner.ask("POST", f"/v1/deliveries/{delivery['id']}/resend").status_code == 404
    assert partner.ask("GET", f"/v1/verifications/{asked}").status_code == 403
