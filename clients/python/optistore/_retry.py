"""Waiting between attempts."""

from __future__ import annotations

import random
import time

from .errors import OptistoreError

FIRST_S = 0.05
LONGEST_S = 2.0


class Backoff:
    """Longer after each failure, with jitter so that many clients do not come back at once."""

    def __init__(self, give_up_s: float) -> None:
        self._give_up_s = give_up_s
        self._failures = 0
        self._since: float | None = None

    def succeeded(self) -> None:
        """Forgets earlier failures."""
        self._failures = 0
        self._since = None

    def failed(self, error: OptistoreError) -> float:
        """Seconds to wait before the next try; raises the error when it has failed for too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since >= self._give_up_s:
            raise error
        longest = min(FIRST_S * float(2**self._failures), LONGEST_S)
        self._failures += 1
        return longest * (0.5 + random.random() / 2)
