"""Vouchpost's consumer kit: receive signed events, apply each of them once, submit addresses.

Importing it costs little: the client, which needs httpx, is loaded when it is first asked for.
"""

from vouchpost.errors import (
    ApiError,
    ApplyError,
    BodyTooLargeError,
    ConfigurationError,
    DuplicateHeaderError,
    HandlerError,
    InFlightError,
    MalformedHeaderError,
    MessageError,
    MissingHeaderError,
    NoMatchingSignatureError,
    NotAnEventError,
    NotJsonError,
    OverloadedError,
    RequestRefusedError,
    SecretError,
    SignatureError,
    StoreUnavailableError,
    TimestampError,
    UnreachableError,
    VouchpostError,
)
from vouchpost.message import Message, Status, Verdict
from vouchpost.receiver import Receiver
from vouchpost.replay import Outcome
from vouchpost.router import Router
from vouchpost.signature import Verifier

__all__ = [
    "ApiError",
    "ApplyError",
    "BodyTooLargeError",
    "ConfigurationError",
    "DuplicateHeaderError",
    "HandlerError",
    "InFlightError",
    "MalformedHeaderError",
    "Message",
    "MessageError",
    "MissingHeaderError",
    "NoMatchingSignatureError",
    "NotAnEventError",
    "NotJsonError",
    "Outcome",
    "OverloadedError",
    "Receiver",
    "RequestRefusedError",
    "Router",
    "SecretError",
    "SignatureError",
    "Status",
    "StoreUnavailableError",
    "TimestampError",
    "UnreachableError",
    "Verdict",
    "Verifier",
    "VouchpostError",
]
