"""What passes between an application and its sidecar: docs/applications.md of Tracelift, sections 4 and 5."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

SIGNAL_HEADER = "x-tracelift-signal"
#: As the instrumentations of HTTP clients name the attribute of that header.
SIGNAL_ATTRIBUTE = "http.response.header.x_tracelift_signal"
SIGNAL_VERSION = "2"

UPGRADES_PATH = "/.well-known/tracelift/upgrades"
UPGRADES_HEADER = "x-tracelift-upgrades"
UPGRADES_MARK = "upgrades-1"
UPGRADES_VERSION = "1"
MAC_HEADER = "x-tracelift-mac"
#: Trace-ids in one answer. One with so many is full, and there may be more.
MAX_LISTED = 128

_MAX_SIGNAL_BYTES = 512
_MAX_SIGNALS = 4
_MAX_UPGRADES_BYTES = 8192
_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_PARAMETER = re.compile(r"[A-Za-z0-9=._-]+")
_CURSOR = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MISSED = re.compile(r"[0-9]{1,19}")


class Verdict(Enum):
    """What became of a trace further down."""

    UPGRADED = "upgraded"
    SHED = "shed"


def write_signal(trace_id: int) -> str:
    """The header's value for a trace that this application released."""
    return f"{SIGNAL_VERSION};{Verdict.UPGRADED.value};{trace_id:032x}"


def read_signal(values: Iterable[str], trace_id: int) -> Verdict | None:
    """What the header, in one value or several, says of the trace of the call that was answered."""
    found = None
    joined = ",".join(values)
    if len(joined) > _MAX_SIGNAL_BYTES:
        return None
    for entry in joined.split(",")[:_MAX_SIGNALS]:
        version, *rest = entry.strip(" \t").split(";")
        if version != SIGNAL_VERSION or len(rest) < 2 or _read_id(rest[1]) != trace_id:
            continue
        if not all(_PARAMETER.fullmatch(parameter) for parameter in rest[2:]):
            continue
        if rest[0] == Verdict.UPGRADED.value:
            return Verdict.UPGRADED
        if rest[0] == Verdict.SHED.value:
            found = Verdict.SHED
    return found


def upgrades_path(cursor: str | None) -> str:
    """Path and query of the request."""
    return UPGRADES_PATH if cursor is None else f"{UPGRADES_PATH}?cursor={cursor}"


def upgrades_headers(token: str, audience: str, path: str, now: int) -> dict[str, str]:
    """Headers of the request for the list of upgrades."""
    mac = authenticate(token, UPGRADES_MARK, now, audience, path)
    return {"traceparent": f"ff-tracelift-{UPGRADES_MARK}", MAC_HEADER: f"1;{now};{mac}"}


def authenticate(token: str, mark: str, now: int, audience: str, subject: str) -> str:
    """HMAC-SHA256 over version, purpose, time, audience and subject, in hexadecimal."""
    message = "\n".join(("tracelift-mac-1", mark, str(now), audience, subject))
    return hmac.new(token.encode(), message.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Upgrades:
    """An answer of the sidecar."""

    cursor: str
    #: Upgrades that the sidecar no longer remembers.
    missed: int
    trace_ids: tuple[int, ...]

    @property
    def is_full(self) -> bool:
        """Whether there may be more."""
        return len(self.trace_ids) >= MAX_LISTED


def read_upgrades(value: str) -> Upgrades | None:
    """Reads the answer's header; none when it is of another version or does not follow the grammar."""
    if len(value) > _MAX_UPGRADES_BYTES:
        return None
    fields = value.split(";")
    if len(fields) < 4 or fields[0] != UPGRADES_VERSION:
        return None
    cursor, missed, listed = fields[1:4]
    ids = [_read_id(text) for text in listed.split(",")] if listed else []
    known = tuple(trace_id for trace_id in ids if trace_id)
    valid = _CURSOR.fullmatch(cursor) and _MISSED.fullmatch(missed) and len(known) == len(ids) <= MAX_LISTED
    if not valid or not all(_PARAMETER.fullmatch(parameter) for parameter in fields[4:]):
        return None
    return Upgrades(cursor, int(missed), known)


def _read_id(text: str) -> int | None:
    """A trace-id; none when it is malformed or all zero."""
    return (int(text, 16) or None) if _TRACE_ID.fullmatch(text) else None
