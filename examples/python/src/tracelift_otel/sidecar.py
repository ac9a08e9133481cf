"""Asks the sidecar once a second which traces were upgraded."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from enum import Enum

import urllib3
from opentelemetry.instrumentation.utils import suppress_instrumentation
from urllib3.util import Timeout, parse_url

from tracelift_otel import wire
from tracelift_otel.quiet import QuietLog
from tracelift_otel.settings import APPLICATION_TOKEN, SIDECAR, Settings

_logger = logging.getLogger(__name__)

PERIOD_SECONDS = 1.0
_LONGEST_SECONDS = 60.0
#: The sidecar is on this machine.
_CONNECT_SECONDS = 0.5
_READ_SECONDS = 1.0
#: Answers in a row, while they are full.
_IN_A_ROW = 8
#: Of a body that is of no use to us, before its connection is closed.
_MAX_BODY_BYTES = 65536


class Outcome(Enum):
    """What came of a request, and what a person should know of it."""

    ANSWERED = "answered"
    DENIED = f"the sidecar denies it (403). Check {APPLICATION_TOKEN} on both sides, and the clock"
    REFUSED = "the sidecar does not take the request (400): it speaks another version"
    NO_FILTER = f"what answers has no list of upgrades. Check {SIDECAR} and upgrade.applications of the filter"
    FAILED = "the sidecar does not answer"


class Sidecar:
    """A thread with one connection. Whatever the sidecar does costs a log line an hour, and nothing else."""

    @classmethod
    def of(
        cls, settings: Settings, on_upgrades: Callable[[Iterable[int]], None], on_tick: Callable[[], None]
    ) -> Sidecar | None:
        """None where the settings name no sidecar, or no token."""
        if settings.sidecar is None:
            return None
        if settings.token is None:
            _logger.warning("tracelift: %s is set and %s is not: no sidecar is asked.", SIDECAR, APPLICATION_TOKEN)
            return None
        return cls(settings.sidecar, settings.token, on_upgrades, on_tick)

    def __init__(
        self, origin: str, token: str, on_upgrades: Callable[[Iterable[int]], None], on_tick: Callable[[], None]
    ) -> None:
        self._origin = origin
        self._token = token
        self._audience = (parse_url(origin).host or "").lower()
        self._on_upgrades = on_upgrades
        self._on_tick = on_tick
        self._log = QuietLog(_logger)
        self._counts = {outcome.name.lower(): 0 for outcome in Outcome} | {"missed": 0}
        self._begin()

    def _begin(self) -> None:
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=1,
            retries=False,
            timeout=Timeout(_CONNECT_SECONDS + _READ_SECONDS, _CONNECT_SECONDS, _READ_SECONDS),
        )
        self._cursor: str | None = None
        #: What came of the last request.
        self._answers = False
        self._ending = threading.Event()
        self._asking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="tracelift-sidecar", daemon=True)

    def start(self) -> None:
        """Begins to ask."""
        self._thread.start()

    def restart(self) -> None:
        """In the child of a fork, which has neither the thread nor a connection of its own."""
        self._log.after_fork()
        self._begin()
        self.start()

    def stop(self) -> None:
        """Asks a last time where there were answers, and ends. A silent sidecar costs two time limits at most."""
        if self._ending.is_set():
            return
        self._ending.set()
        self._thread.join(timeout=_CONNECT_SECONDS + _READ_SECONDS)
        if self._answers and not self._thread.is_alive():
            self._ask_guarded()
        self._pool.clear()

    def counts(self) -> dict[str, int]:
        """Requests by outcome, and the upgrades that the sidecar could not tell any more."""
        return dict(self._counts)

    def _run(self) -> None:
        # Processes that start together do not ask together.
        delay = random.random() * PERIOD_SECONDS
        failures = 0
        while not self._ending.wait(delay):
            outcome = self._ask_guarded()
            failures = 0 if outcome is Outcome.ANSWERED else min(failures + 1, 6)
            delay = min(PERIOD_SECONDS * 2**failures, _LONGEST_SECONDS)
            try:
                self._on_tick()
            except Exception:
                self._log.warning("tracelift: held spans could not be looked at.", exc_info=True)

    def _ask_guarded(self) -> Outcome:
        try:
            with self._asking:
                outcome = self._ask()
        except Exception:
            self._log.warning("tracelift: the sidecar could not be asked.", exc_info=True)
            outcome = Outcome.FAILED
        self._answers = outcome is Outcome.ANSWERED
        self._counts[outcome.name.lower()] += 1
        if outcome is not Outcome.ANSWERED:
            self._log.warning(
                "tracelift: asking %s for upgraded traces: %s. Spans of traces that fail elsewhere are not released.",
                self._origin,
                outcome.value,
            )
        return outcome

    def _ask(self) -> Outcome:
        for _ in range(_IN_A_ROW):
            answer = self._request()
            if isinstance(answer, Outcome):
                return answer
            self._cursor = answer.cursor
            self._counts["missed"] += answer.missed
            self._on_upgrades(answer.trace_ids)
            if not answer.is_full or self._ending.is_set():
                break
        return Outcome.ANSWERED

    def _request(self) -> wire.Upgrades | Outcome:
        path = wire.upgrades_path(self._cursor)
        headers = wire.upgrades_headers(self._token, self._audience, path, int(time.time()))
        try:
            with suppress_instrumentation():
                response = self._pool.request(
                    "GET", self._origin + path, headers=headers, redirect=False, preload_content=False
                )
                try:
                    response.read(_MAX_BODY_BYTES)
                finally:
                    response.release_conn() if response.length_remaining == 0 else response.close()
        except (urllib3.exceptions.HTTPError, OSError):
            return Outcome.FAILED
        answer = wire.read_upgrades(response.headers.get(wire.UPGRADES_HEADER, ""))
        if response.status == 200 and answer:
            return answer
        if response.status == 403:
            return Outcome.DENIED
        if response.status == 400:
            self._cursor = None
            return Outcome.REFUSED
        return Outcome.FAILED if response.status == 429 or response.status >= 500 else Outcome.NO_FILTER
