"""Two bounds: how many traces a second, and how many are remembered for how long."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Budget:
    """So many a second, and no more than one second's worth at once (GCRA)."""

    def __init__(self, per_second: float) -> None:
        self._step = 1 / per_second if per_second > 0 else None
        self._burst = max(1.0, self._step or 0)
        self._arrival = 0.0

    def admit(self, now: float) -> bool:
        """Charges one, if there is room."""
        if self._step is None:
            return False
        arrival = max(self._arrival, now) + self._step
        # The step's tolerance: sums of floats are not exact.
        if arrival - now > self._burst + self._step * 1e-6:
            return False
        self._arrival = arrival
        return True


class Remembered(Generic[_Value]):
    """What is known of traces: the latest, and for a while."""

    def __init__(self, seconds: float, capacity: int) -> None:
        self._seconds = seconds
        self._capacity = capacity
        self._known: OrderedDict[int, tuple[float, _Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def put(self, trace_id: int, value: _Value, now: float) -> None:
        """From now on, for the time given at the start."""
        self._known[trace_id] = (now + self._seconds, value)
        self._known.move_to_end(trace_id)
        while self._known:
            oldest = next(iter(self._known))
            if len(self._known) <= self._capacity and now < self._known[oldest][0]:
                break
            del self._known[oldest]

    def get(self, trace_id: int, now: float) -> _Value | None:
        """What is known, if anything still is."""
        expires, value = self._known.get(trace_id, (now, None))
        return value if now < expires else None
