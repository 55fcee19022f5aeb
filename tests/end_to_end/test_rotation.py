"""A secret is rotated while deliveries are pending; libraries that are not ours say what the signatures are worth."""

import base64
import os
from collections.abc import Callable

import pytest
import standardwebhooks
import svix.webhooks

from tests.end_to_end.account import Account
from tests.end_to_end.consumer import Consumer, Push, eventually

Verify = Callable[[str, Push], None]


def by_standardwebhooks(secret: str, push: Push) -> None:
    standardwebhooks.Webhook(secret).verify(push.body, push.headers)


def by_svix(secret: str, push: Push) -> None:
    svix.webhooks.Webhook(secret).verify(push.body, push.headers)


LIBRARIES = pytest.mark.parametrize("verify", [by_standardwebhooks, by_svix])


def new_secret() -> str:
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()


def rotated_while_pending(tenant: Account, consumer: Consumer, *, overlap_s: int) -> tuple[str, str, str, Push]:
    """The verification, the old secret, the new one, and the push that the consumer took after the rotation."""
    consumer.status = 503
    subscription = tenant.subscribe(consumer)
    old, new = consumer.secrets[0], new_secret()
    asked = tenant.submit("wenna@valid.example")
    assert eventually(lambda: consumer.about(asked))
    body = {"secret": new, "overlap_s": overlap_s}
    assert tenant.post(f"/v1/subscriptions/{subscription}/rotate-secret", body)["secret"] == new
    consumer.secrets = [new]
    consumer.status = None
    assert eventually(consumer.applied)
    return asked, old, new, consumer.about(asked)[-1]


@LIBRARIES
def test_while_rotating_both_secrets_verify_what_was_pending(
    tenant: Account, consumer: Consumer, verify: Verify
) -> None:
    asked, old, new, push = rotated_while_pending(tenant, consumer, overlap_s=600)

    verify(old, push)
    verify(new, push)
    assert len(push.headers["webhook-signature"].split()) == 2
    assert len(consumer.applied()) == 1
    assert {one.headers["webhook-id"] for one in consumer.about(asked)} == {push.headers["webhook-id"]}


@LIBRARIES
def test_a_secret_that_was_rotated_twice_verifies_until_its_own_overlap_ends(
    tenant: Account, consumer: Consumer, verify: Verify
) -> None:
    """A receiver that switches late is not cut off by those who rotate often."""
    subscription, first = tenant.subscribe(consumer), consumer.secrets[0]
    newest = [tenant.post(f"/v1/subscriptions/{subscription}/rotate-secret")["secret"] for _ in range(2)][-1]
    consumer.secrets = [newest]
    asked = tenant.submit("wenna@valid.example")
    assert eventually(consumer.applied)

    verify(first, consumer.about(asked)[-1])
    verify(newest, consumer.about(asked)[-1])


@LIBRARIES
def test_without_an_overlap_the_old_secret_verifies_no_more(
    tenant: Account, consumer: Consumer, verify: Verify
) -> None:
    _, old, new, push = rotated_while_pending(tenant, consumer, overlap_s=0)

    verify(new, push)
    with pytest.raises((standardwebhooks.WebhookVerificationError, svix.webhooks.WebhookVerificationError)):
        verify(old, push)
