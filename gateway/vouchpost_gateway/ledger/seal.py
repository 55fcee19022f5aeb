"""Addresses and signing secrets at rest: AES-256-GCM under a data key per tenant, itself sealed by a master key.

Tenant, id and kind are the associated data, so a blob opens only in the place it was written for. The first master
key seals; every one of them opens, so a new one is put in front and the old ones stay until data keys are re-sealed.
"""

import hmac
import os
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b, sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vouchpost_gateway.domain.errors import LedgerUnavailable, Misconfigured
from vouchpost_gateway.domain.mac import Mac

_FORMAT = b"\x01"
_NONCE_BYTES = 12
_KEY_BYTES = 32


class CannotOpen(LedgerUnavailable):
    """A sealed value does not open: it was moved, changed, or sealed under a master key that is not among ours."""


def seal(cipher: AESGCM, plain: bytes, place: bytes) -> bytes:
    """The format, the nonce and what was encrypted; `unseal` opens it for the same place only."""
    # Random 96-bit nonces are safe for 2**32 messages under one key (NIST SP 800-38D, section 8.3).
    nonce = os.urandom(_NONCE_BYTES)
    return _FORMAT + nonce + cipher.encrypt(nonce, plain, place)


def unseal(cipher: AESGCM, blob: bytes, place: bytes) -> bytes:
    if blob[:1] != _FORMAT:
        raise CannotOpen(CannotOpen.__doc__)
    try:
        return cipher.decrypt(blob[1 : 1 + _NONCE_BYTES], blob[1 + _NONCE_BYTES :], place)
    except (InvalidTag, ValueError) as error:  # ValueError: too short to hold a nonce
        raise CannotOpen(CannotOpen.__doc__) from error


class TenantSeal:
    """What one tenant's data key does: seal, open, and hash what may be an address."""

    def __init__(self, tenant_id: str, data_key: bytes) -> None:
        self._tenant = tenant_id.encode()
        self._cipher = AESGCM(_derive(data_key, b"seal"))
        self.email_hash_key = _derive(data_key, b"email_hash")
        self._email_mac = Mac(self.email_hash_key)
        self._digest_key = _derive(data_key, b"digest")

    def seal(self, plain: str | bytes, *, kind: str, owner: str) -> bytes:
        data = plain.encode() if isinstance(plain, str) else plain
        return seal(self._cipher, data, self._place(kind, owner))

    def open(self, blob: bytes, *, kind: str, owner: str) -> bytes:
        """The plain bytes; CannotOpen when the blob does not belong to this tenant, kind and owner."""
        return unseal(self._cipher, blob, self._place(kind, owner))

    def email_hash(self, normalised: str) -> str:
        """What events carry in place of the address: hexadecimal HMAC-SHA256 of the normalised address."""
        return self._email_mac.digest(normalised.encode()).hex()

    def digest(self, purpose: str, *parts: bytes) -> bytes:
        """A keyed hash for key names and comparisons, 16 bytes: what is hashed may itself be an address."""
        framed = b"".join([b"%d:%b," % (len(part), part) for part in (purpose.encode(), *parts)])
        return blake2b(framed, key=self._digest_key, digest_size=16).digest()

    def name(self, purpose: str, *parts: bytes) -> str:
        """The digest as 22 characters that are safe in a key name."""
        return urlsafe_b64encode(self.digest(purpose, *parts)).rstrip(b"=").decode()

    def _place(self, kind: str, owner: str) -> bytes:
        return b"%b|%b|%b" % (self._tenant, owner.encode(), kind.encode())


class MasterKeys:
    """The list of master keys, the first of which seals data keys."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise Misconfigured("VOUCHPOST_MASTER_KEYS: every master key is 32 bytes, in base64")
        self._ciphers = [AESGCM(key) for key in keys]

    def new_data_key(self, tenant_id: str) -> bytes:
        """A fresh data key, sealed."""
        return seal(self._ciphers[0], os.urandom(_KEY_BYTES), self._place(tenant_id))

    def open_data_key(self, tenant_id: str, blob: bytes) -> TenantSeal:
        for cipher in self._ciphers:
            try:
                return TenantSeal(tenant_id, unseal(cipher, blob, self._place(tenant_id)))
            except CannotOpen:
                continue
        raise CannotOpen(CannotOpen.__doc__)

    @staticmethod
    def _place(tenant_id: str) -> bytes:
        return b"%b|data-key" % tenant_id.encode()


def _derive(data_key: bytes, purpose: bytes) -> bytes:
    """One HKDF-Expand step (RFC 5869, section 2.3): the data key is already uniform."""
    return hmac.digest(data_key, b"vouchpost/1/" + purpose + b"\x01", sha256)
