"""The gateway's signatures: held to the written-out vectors, and accepted by two other libraries."""

import time

import pytest
import standardwebhooks
import svix.webhooks

from tests.vectors.signatures import SignVector, sign_vectors
from vouchpost_gateway.domain.secret import parse_secret
from vouchpost_gateway.domain.signature import sign, signature_header

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.mark.parametrize("vector", sign_vectors(), ids=lambda vector: vector.name)
def test_signs_as_the_written_out_vectors_say(vector: SignVector) -> None:
    keys = [parse_secret(secret) for secret in vector.secrets]

    header = signature_header(keys=keys, event_id=vector.id, timestamp_s=vector.timestamp, body=vector.body)

    assert header == vector.header


def test_standardwebhooks_and_svix_accept_every_entry_while_rotating() -> None:
    body, now = '{"type":"verification.completed","data":{"name":"Zoë"}}'.encode(), int(time.time())
    keys = [parse_secret(OTHER_SECRET), parse_secret(SECRET)]
    three = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now),
        "webhook-signature": signature_header(keys=keys, event_id="evt_1", timestamp_s=now, body=body),
    }

    for secret in (SECRET, OTHER_SECRET):
        standardwebhooks.Webhook(secret).verify(body, three)
        svix.webhooks.Webhook(secret).verify(body, three)


def test_an_id_outside_ascii_is_never_signed() -> None:
    with pytest.raises(UnicodeEncodeError):
        sign(key=b"k" * 24, event_id="evt_é", timestamp_s=0, body=b"")
