"""The parts of the service that the routes call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from service.catalogue.snapshot import LiveSnapshot
from service.core.ports import UserStore
from service.flows.feedback import FeedbackFlow
from service.flows.forget import ForgetFlow


class CurrentBundle(LiveSnapshot, Protocol):
    """The live bundle."""

    def note_age(self) -> None:
        """Update the metric of the bundle's age."""


@dataclass(frozen=True)
class Backend:
    """The live bundle, the user store and the flows."""

    live: CurrentBundle
    store: UserStore
    feedback: FeedbackFlow
    forget: ForgetFlow
