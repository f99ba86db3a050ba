# ruff: noqa: N818 - named as the API server names its reasons: NotFound, Conflict, Invalid
"""What the API server's refusals, and its silence, are in Python.

A caller needs to tell apart what only time mends (`transient`), what another writer caused
(`Conflict`) and what the user must hear about (the rest). None of these deserves a traceback.
"""

from __future__ import annotations

from typing import Any


class APIError(Exception):
    """The API server refused a request, or did not answer.

    Attributes:
        status: HTTP status; 0 if there was no answer.
        reason: one word of the Status object, such as `AlreadyExists`.
        message: its sentence.
        retry_after: seconds that the server asked to wait; None if it did not.
    """

    transient = False
    """Whether nothing but time (or another try) can mend it."""

    def __init__(
        self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class BadRequest(APIError):
    """400: the server could not make sense of the request."""


class Unauthorized(APIError):
    """401: the credentials are not accepted (yet, or any more)."""

    transient = True


class Forbidden(APIError):
    """403: no right to do this, or a quota or a policy refuses it."""


class NamespaceTerminating(Forbidden):
    """403: the namespace is being deleted, and all that is in it goes; nothing is created there."""

    transient = True


class NotFound(APIError):
    """404: there is no such object."""


class Conflict(APIError):
    """409: somebody else wrote first, or the object is not the one that was meant."""

    transient = True


class AlreadyExists(Conflict):
    """409: an object of that name exists."""


class FieldConflict(Conflict):
    """409: an apply without force would change what other field managers own."""


class WrongObject(Conflict):
    """The object of that name has another uid than the one that was meant."""


class Gone(APIError):
    """410: the resource version, or the place in a list, is too old."""

    transient = True


class Invalid(APIError):
    """422: the object breaks a rule."""


class TooManyRequests(APIError):
    """429: the server asks to be left alone for a while."""

    transient = True


class ServerError(APIError):
    """5xx: the server failed; often an admission webhook behind it."""


class Unavailable(ServerError):
    """502, 503, 504: the server, or something before it, is not there now."""

    transient = True


class Unreachable(APIError):
    """No answer: connection refused, broken or too slow."""

    transient = True


class NotSent(Unreachable):
    """No connection: the request did not leave this process."""


class TooSlow(Unreachable):
    """No answer in time; the request may have been carried out."""


class NotLeader(APIError):
    """This process may not write now; nothing was sent."""

    transient = True


_LONGEST_WAIT_SECONDS = 300.0
"""Longest `Retry-After` that is believed: nobody may silence an object for ever."""

_BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def error_of(status: int, body: Any, retry_after: str | None = None) -> APIError:
    """The error for an answer.

    Args:
        status: HTTP status, 400 or more.
        body: parsed Status object; anything else if a proxy answered.
        retry_after: the header of that name, in seconds.
    """
    fields: dict[str, Any] = body if isinstance(body, dict) else {}
    reason = fields.get("reason", "") if isinstance(fields.get("reason"), str) else ""
    message = fields.get("message", "") if isinstance(fields.get("message"), str) else ""
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else APIError)
    details = fields.get("details")
    if kind is Conflict and reason == "AlreadyExists":
        kind = AlreadyExists
    if kind is Conflict and _names(details, "reason", "FieldManagerConflict"):
        kind = FieldConflict
    if kind is Forbidden and _names(details, "reason", "NamespaceTerminating"):
        kind = NamespaceTerminating
    if kind is Invalid and _names(details, "field", "metadata.uid"):
        # An apply that carries another uid is refused as a change of an immutable field.
        kind = WrongObject
    return kind(
        message or reason or f"HTTP status {status}",
        status=status,
        reason=reason,
        retry_after=_seconds(retry_after, details),
    )


def _names(details: Any, what: str, value: str) -> bool:
    """Whether one of the causes of a refusal is this."""
    causes = details.get("causes") if isinstance(details, dict) else None
    return isinstance(causes, list) and any(
        isinstance(cause, dict) and cause.get(what) == value for cause in causes
    )


def _seconds(header: str | None, details: Any) -> float | None:
    try:
        if header is not None:
            return min(_LONGEST_WAIT_SECONDS, max(0.0, float(header)))
    except ValueError:
        pass  # a date; the API server sends seconds
    if isinstance(details, dict) and isinstance(details.get("retryAfterSeconds"), int):
        return min(_LONGEST_WAIT_SECONDS, float(details["retryAfterSeconds"])) or None
    return None
