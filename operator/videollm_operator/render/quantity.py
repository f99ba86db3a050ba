"""Quantities as the API server writes them, so that it gives back exactly what was sent.

Kubernetes, apimachinery pkg/api/resource/quantity.go, `CanonicalizeBytes`: no fractions, the
largest unit that needs none, and the family of units (binary, decimal, exponent) that was given;
binary amounts below 1024 or with a fraction become decimal.
"""

from __future__ import annotations

import re
from fractions import Fraction

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_FORM = re.compile(
    r"(?P<sign>[+-]?)(?P<number>[0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})"
    r"((?P<unit>[KMGTPE]i|[numkMGTPE]?)|[eE](?P<exponent>[+-]?[0-9]{1,2}))"
)
_NANO = 10**9
_MAX = 2**63 - 1


def mib(amount: int) -> str:
    """`amount` MiB as a canonical quantity: 2048 is "2Gi"."""
    return canonical_quantity(f"{amount}Mi")


def canonical_quantity(text: str | int) -> str:
    """A quantity as the API server would give it back: "2048Mi" is "2Gi", "1000m" is "1".

    Raises:
        ValueError: if it is not a quantity, or more than 64 bits hold.
    """
    match = _FORM.fullmatch(str(text))
    if match is None:
        msg = f"'{text}' is not a quantity"
        raise ValueError(msg)
    unit, exponent = match["unit"], match["exponent"]
    if exponent is not None:
        factor = Fraction(10) ** int(exponent)
    elif unit in _BINARY:
        factor = Fraction(1024) ** _BINARY[unit]
    else:
        factor = Fraction(10) ** _DECIMAL[unit]
    nano = -(-Fraction(match["number"]) * factor * _NANO // 1)  # rounded up, as Kubernetes does
    if nano > _MAX * _NANO:
        msg = f"'{text}' is too large"
        raise ValueError(msg)
    sign = "-" if match["sign"] == "-" and nano else ""
    if unit in _BINARY and nano >= 1024 * _NANO and nano % _NANO == 0:
        return sign + _binary(nano // _NANO)
    number, power = _decimal(nano)
    if exponent is not None:
        return f"{sign}{number}e{power}" if power else f"{sign}{number}"
    return sign + str(number) + next(u for u, p in _DECIMAL.items() if p == power)


def _binary(amount: int) -> str:
    power = 0
    while amount % 1024 == 0:
        amount //= 1024
        power += 1
    return str(amount) + next((unit for unit, p in _BINARY.items() if p == power), "")


def _decimal(nano: int) -> tuple[int, int]:
    """A whole number and the power of 1000 that it is multiplied with, as a power of ten."""
    if nano == 0:
        return 0, 0
    power = -9
    while nano % 1000 == 0:
        nano //= 1000
        power += 3
    return nano, power
