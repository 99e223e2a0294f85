"""The parts of the service that the routes call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from service.core.ports import Model, UserStore
from service.flows.feedback import FeedbackFlow
from service.flows.forget import ForgetFlow


class LiveModel(Protocol):
    """The live bundle."""

    @property
    def model(self) -> Model:
        """The model for a new request, which holds it to its end."""

    def note_age(self) -> None:
        """Update the metric of the bundle's age."""


@dataclass(frozen=True)
class Backend:
    """The live model, the user store and the flows."""

    live: LiveModel
    store: UserStore
    feedback: FeedbackFlow
    forget: ForgetFlow
