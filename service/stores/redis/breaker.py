"""A circuit breaker: after failures in a row it lets only a probe through now and then, until one succeeds.

Written here because what there is is made for threads (pybreaker), not kept since 2021 (aiobreaker), or wraps each
call in a context of its own (purgatory), on the hottest path of the service.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

log = structlog.get_logger()


class Breaker:
    """Counts what became of operations; closed as long as they succeed.

    Operations that were under way when it opened do not count as failed probes.
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
            clock: the time now.
            max_failures: failures in a row that open it.
            pause_s: seconds without an operation after that; doubled by every probe that fails.
            longest_pause_s: the most that they grow to.
        """
        self._clock, self._max_failures = clock, max_failures
        self._shortest_s, self._longest_s = pause_s, longest_pause_s
        self._failures, self._pause_s, self._until = 0, pause_s, 0.0

    @property
    def is_open(self) -> bool:
        """Whether only probes get through."""
        return self._failures >= self._max_failures

    def allows(self) -> bool:
        """Whether to try an operation now; while open, that is one a pause."""
        if not self.is_open:
            return True
        if self._clock() < self._until:
            return False
        self._until = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, self._longest_s)
        return True

    def failed(self) -> None:
        """An operation failed."""
        if self.is_open:
            return
        self._failures += 1
        if self.is_open:
            self._until = self._clock() + self._pause_s
            log.warning("user store given up for a while", failures=self._failures)

    def succeeded(self) -> None:
        """An operation succeeded."""
        if self.is_open:
            log.info("user store back")
        self._failures, self._pause_s = 0, self._shortest_s
