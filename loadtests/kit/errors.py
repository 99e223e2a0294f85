"""Errors that end a load test with a message instead of a traceback."""

from __future__ import annotations


class LoadTestError(Exception):
    """A load test cannot run here, or what it measures failed; the message says what and why."""
