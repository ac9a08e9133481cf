"""What a user can set, and how it is read from the environment."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

_logger = logging.getLogger(__name__)
_Number = TypeVar("_Number", int, float)

HOLD_SECONDS = "TRACELIFT_HOLD_SECONDS"
HOLD_BYTES = "TRACELIFT_HOLD_BYTES"
TRACES_PER_SECOND = "TRACELIFT_TRACES_PER_SECOND"
SIDECAR = "TRACELIFT_SIDECAR"
APPLICATION_TOKEN = "TRACELIFT_APPLICATION_TOKEN"  # noqa: S105 - the variable's name
RECALL_TOKEN = "TRACELIFT_RECALL_TOKEN"  # noqa: S105 - the variable's name


@dataclass(frozen=True)
class Settings:
    """Bounds of what is held, and where the sidecar is."""

    #: How long spans are held after the last span of their trace ended.
    hold_seconds: float = 5.0
    #: Memory for held spans, as estimated by :mod:`tracelift_otel.size`.
    hold_bytes: int = 8 * 1024 * 1024
    #: Traces that this process releases for its own failures.
    traces_per_second: float = 100.0
    #: Where the sidecar takes calls, such as ``http://127.0.0.1:15001``. Without it nothing is asked.
    sidecar: str | None = None
    #: Key of the requests to the sidecar. Never sent.
    token: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Reads the variables. One that is not valid is logged and ignored."""

        def number(name: str, kind: type[_Number], least: float, most: float, default: _Number) -> _Number:
            text = environment.get(name, "").strip()
            if not text:
                return default
            try:
                value = kind(text)
            except ValueError:
                value = None
            if value is None or not least <= value <= most:
                allowed = f"a number from {least} to {most}"
                _logger.warning("tracelift: %s: expected %s, found %r; using %s.", name, allowed, text, default)
                return default
            return value

        return cls(
            hold_seconds=number(HOLD_SECONDS, float, 0.1, 60, cls.hold_seconds),
            hold_bytes=number(HOLD_BYTES, int, 0, 1 << 30, cls.hold_bytes),
            traces_per_second=number(TRACES_PER_SECOND, float, 0, 100_000, cls.traces_per_second),
            sidecar=_text(environment, SIDECAR, _origin),
            token=_text(environment, APPLICATION_TOKEN) or _text(environment, RECALL_TOKEN),
        )


def _text(environment: Mapping[str, str], name: str, read: Callable[[str], str] = str) -> str | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    try:
        return read(text)
    except ValueError as error:
        _logger.warning("tracelift: %s: %s; the sidecar will not be asked.", name, error)
        return None


def _origin(text: str) -> str:
    """``http://host:port``, and nothing behind it."""
    try:
        url = parse_url(text)
    except LocationParseError:
        url = None
    valid = url and url.scheme in ("http", "https") and url.host and not url.auth and url.path in (None, "", "/")
    if not url or not valid or url.query or url.fragment:
        raise ValueError(f"expected http://<host>:<port>, found {text!r}")
    port = f":{url.port}" if url.port else ""
    return f"{url.scheme}://{url.host}{port}"
