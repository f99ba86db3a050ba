"""Secrets of one cluster, made with the standard library alone.

The key that signs service account tokens must exist before the API server starts. An elliptic
curve private key is just a number below the order of the curve, so writing one needs no openssl
and no cryptography package. TLS certificates are made by the API server itself.
"""

from __future__ import annotations

import base64
import secrets
import textwrap

# Order of the group of NIST P-256, SEC 2 section 2.4.2.
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# DER of the object identifier 1.2.840.10045.3.1.7 (prime256v1, RFC 5480 section 2.1.1.1).
_P256_OID = bytes.fromhex("06082a8648ce3d030107")


def _der(tag: int, content: bytes) -> bytes:
    """One DER element; contents here are all shorter than 128 bytes, so one length byte does."""
    return bytes([tag, len(content)]) + content


def ec_private_key_pem(number: int) -> str:
    """A P-256 private key as PEM "EC PRIVATE KEY" (RFC 5915), without the optional public part.

    Args:
        number: the private number, 1 to order - 1.
    """
    if not 1 <= number < _P256_ORDER:
        raise ValueError("the private number must lie between 1 and the order of the curve - 1")
    der = _der(
        0x30,
        _der(0x02, b"\x01") + _der(0x04, number.to_bytes(32, "big")) + _der(0xA0, _P256_OID),
    )
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join(["-----BEGIN EC PRIVATE KEY-----", *lines, "-----END EC PRIVATE KEY-----", ""])


def new_signing_key() -> str:
    """A fresh key for service account tokens, PEM."""
    return ec_private_key_pem(1 + secrets.randbelow(_P256_ORDER - 1))


def new_token() -> str:
    """A bearer token that cannot be guessed."""
    return secrets.token_urlsafe(32)
