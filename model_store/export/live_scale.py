"""Comparison of a new bundle's scale with the live one: services must not take a 5 of 5 for a 5 of 10."""

from __future__ import annotations

from model_store.bundle import FeedbackSpec, Registry
from model_store.bundle.manifest import read_manifest
from model_store.errors import BundleError, RegistryError, TrainingError

# Tolerances, as shares of the span of both scales. The lowest ratings are rare and may be absent from a sample, so 2 to
# 5 equals 1 to 5. The highest ratings are common, so the tops must agree but for decimals, such as 9.98 and 10.
LOWEST_MAY_DIFFER, HIGHEST_MAY_DIFFER, LIKED_MAY_DIFFER = 0.25, 0.025, 0.1


def check_scale(registry: Registry, feedback: FeedbackSpec) -> None:
    """Refuse values of another kind or on another scale than the live bundle's, if there is one.

    Raises:
        TrainingError: the scales differ; the message names both.
    """
    try:
        live = read_manifest(registry.live_folder())
    except (RegistryError, BundleError):
        return  # no live bundle, or one that services cannot load
    if not same_scale(live.feedback, feedback):
        raise TrainingError(
            f"{registry.store}: values of the live bundle {live.version} are {describe(live.feedback)}, those of the "
            f"data are {describe(feedback)}; if that is intended, add --new-scale; otherwise correct the data, or "
            "set --feedback and --liked-from"
        )


def same_scale(live: FeedbackSpec, new: FeedbackSpec) -> bool:
    """Whether a value means the same on both scales.

    Counts and clicks have no upper bound, so only their kinds are compared. Ratings need about equal highest, liked
    and lowest values. Older bundles without a kind are compared as the kind of the data.
    """
    if "kind" in live.model_fields_set and live.kind != new.kind:
        return False
    if new.kind != "ratings":
        return True
    span = max(live.value_max, new.value_max) - min(live.value_min, new.value_min)
    return (
        abs(live.value_max - new.value_max) <= HIGHEST_MAY_DIFFER * span
        and abs(live.value_min - new.value_min) <= LOWEST_MAY_DIFFER * span
        and abs(live.liked_at_least - new.liked_at_least) <= LIKED_MAY_DIFFER * span
    )


def describe(feedback: FeedbackSpec) -> str:
    """The scale in words, e.g. "ratings from 1 to 5, liked from 4"."""
    kind = feedback.kind if "kind" in feedback.model_fields_set else "values"
    return f"{kind} from {feedback.value_min:g} to {feedback.value_max:g}, liked from {feedback.liked_at_least:g}"
