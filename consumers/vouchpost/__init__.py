"""Vouchpost's consumer kit: receive signed events, apply each of them once, submit addresses.

Importing it costs next to nothing: each name is loaded when it is first asked for, and the client's httpx with it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vouchpost.async_client import AsyncClient
    from vouchpost.client import Client
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
        NotAGatewayError,
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
    from vouchpost.resources import Delivery, Subscription, Verification
    from vouchpost.router import Router
    from vouchpost.signature import Verifier
    from vouchpost.submission import Submission, Submitted
    from vouchpost.verdict import Status, Verdict

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
    "NotAGatewayError",
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

_MODULES = {
    "ApiError": "errors",
    "ApplyError": "errors",
    "AsyncClient": "async_client",
    "BodyTooLargeError": "errors",
    "Client": "client",
    "ConfigurationError": "errors",
    "Delivery": "resources",
    "DuplicateHeaderError": "errors",
    "HandlerError": "errors",
    "InFlightError": "errors",
    "InvalidAddressError": "errors",
    "MalformedHeaderError": "errors",
    "Message": "message",
    "MessageError": "errors",
    "MissingHeaderError": "errors",
    "NoMatchingSignatureError": "errors",
    "NotAGatewayError": "errors",
    "NotAnEventError": "errors",
    "NotJsonError": "errors",
    "Outcome": "replay",
    "OverloadedError": "errors",
    "ParkError": "errors",
    "Receiver": "receiver",
    "RequestRefusedError": "errors",
    "Router": "router",
    "SecretError": "errors",
    "SignatureError": "errors",
    "Status": "verdict",
    "StoreUnavailableError": "errors",
    "Submission": "submission",
    "Submitted": "submission",
    "Subscription": "resources",
    "SubscriptionNotice": "notice",
    "TimestampError": "errors",
    "UnreachableError": "errors",
    "Verdict": "verdict",
    "Verification": "resources",
    "Verifier": "signature",
    "VouchpostError": "errors",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        found: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = found  # asked for once
        return found
    if name in _MODULES.values():
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
