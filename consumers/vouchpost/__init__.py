"""Vouchpost's consumer kit: receive signed events, apply each of them once, submit addresses.

Importing it costs little: the client, which needs httpx, is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from vouchpost.errors import (
    ApiError,
    ApplyError,
    BodyTooLargeError,
    ConfigurationError,
    DuplicateHeaderError,
    HandlerError,
    InFlightError,
    InvalidAddressError,
    MalformedHeaderError,
    MessageError,
    MissingHeaderError,
    NoMatchingSignatureError,
    NotAnEventError,
    NotJsonError,
    OverloadedError,
    ParkError,
    RequestRefusedError,
    SecretError,
    SignatureError,
    StoreUnavailableError,
    TimestampError,
    UnreachableError,
    VouchpostError,
)
from vouchpost.message import Message
from vouchpost.notice import SubscriptionNotice
from vouchpost.receiver import Receiver
from vouchpost.replay import Outcome
from vouchpost.router import Router
from vouchpost.signature import Verifier
from vouchpost.verdict import Status, Verdict

if TYPE_CHECKING:
    from vouchpost.async_client import AsyncClient
    from vouchpost.client import Client
    from vouchpost.resources import Delivery, Subscription, Verification
    from vouchpost.submission import Submission, Submitted

__all__ = [
    "ApiError",
    "ApplyError",
    "AsyncClient",
    "BodyTooLargeError",
    "Client",
    "ConfigurationError",
    "Delivery",
    "DuplicateHeaderError",
    "HandlerError",
    "InFlightError",
    "InvalidAddressError",
    "MalformedHeaderError",
    "Message",
    "MessageError",
    "MissingHeaderError",
    "NoMatchingSignatureError",
    "NotAnEventError",
    "NotJsonError",
    "Outcome",
    "OverloadedError",
    "ParkError",
    "Receiver",
    "RequestRefusedError",
    "Router",
    "SecretError",
    "SignatureError",
    "Status",
    "StoreUnavailableError",
    "Submission",
    "Submitted",
    "Subscription",
    "SubscriptionNotice",
    "TimestampError",
    "UnreachableError",
    "Verdict",
    "Verification",
    "Verifier",
    "VouchpostError",
]

_LATER = {
    "AsyncClient": "vouchpost.async_client",
    "Client": "vouchpost.client",
    "Delivery": "vouchpost.resources",
    "Submission": "vouchpost.submission",
    "Submitted": "vouchpost.submission",
    "Subscription": "vouchpost.resources",
    "Verification": "vouchpost.resources",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
