"""One line an hour: a sidecar that is absent must not fill a log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_HOUR = 3600.0


class QuietLog:
    """Passes the first warning of an hour on, of whatever kind."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._next = -_HOUR
        self._lock = threading.Lock()

    def warning(self, message: str, *arguments: object, exc_info: bool = False) -> None:
        """Logs it, unless something was logged within the hour."""
        now = self._clock()
        with self._lock:
            if now < self._next:
                return
            self._next = now + _HOUR
        self._logger.warning(message, *arguments, exc_info=exc_info)

    def after_fork(self) -> None:
        """The lock may have been held by a thread that the child does not have."""
        self._lock = threading.Lock()
