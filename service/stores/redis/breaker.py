"""A circuit breaker: after consecutive failures it allows only occasional probes, until one succeeds.

Libraries do not fit: pybreaker is made for threads, aiobreaker is unmaintained since 2021, and purgatory wraps every
call of the service's hottest path in a context manager.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

log = structlog.get_logger()


class Breaker:
    """Counts failed operations; closed as long as operations succeed.

    Operations that were running when it opened do not count as failed probes.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        max_failures: int = 5,
        pause_s: float = 0.2,
        longest_pause_s: float = 2.0,
    ) -> None:
        """Take a monotonic clock in seconds.

        Args:
            clock: monotonic seconds.
            max_failures: consecutive failures that open it.
            pause_s: pause between probes in seconds; doubles after every failed probe.
            longest_pause_s: longest pause in seconds.
        """
        self._clock, self._max_failures = clock, max_failures
        self._shortest_s, self._longest_s = pause_s, longest_pause_s
        self._failures, self._pause_s, self._until = 0, pause_s, 0.0

    @property
    def is_open(self) -> bool:
        """True if only probes are allowed."""
        return self._failures >= self._max_failures

    def allows(self) -> bool:
        """True if an operation may run now; while open, one per pause."""
        if not self.is_open:
            return True
        if self._clock() < self._until:
            return False
        self._until = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, self._longest_s)
        return True

    def failed(self) -> None:
        """Record a failed operation."""
        if self.is_open:
            return
        self._failures += 1
        if self.is_open:
            self._until = self._clock() + self._pause_s
            log.warning("user store given up for a while", failures=self._failures)

    def succeeded(self) -> None:
        """Record a successful operation."""
        if self.is_open:
            log.info("user store back")
        self._failures, self._pause_s = 0, self._shortest_s
