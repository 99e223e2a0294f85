"""Documents of results: JSON with a schema version, validated when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError, model_validator

from model_store.data.summary import Summary
from model_store.errors import ReportInvalid
from model_store.evaluation.figures import HEADLINE, Difference, Figure, Figures

SCHEMA_VERSION = 1


class Section(BaseModel):
    """A part of a document; keys of later versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Document(Section):
    """A whole document."""

    @model_validator(mode="before")
    @classmethod
    def _check_version(cls, value: Any) -> Any:
        version = value.get("schema_version", SCHEMA_VERSION) if isinstance(value, Mapping) else SCHEMA_VERSION
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema version {version!r}, expected {SCHEMA_VERSION}; use a kshot of that version")
        return value

    def as_dict(self) -> dict[str, Any]:
        """The document for JSON; keys that were not set are absent."""
        return {"schema_version": SCHEMA_VERSION, **self.model_dump(mode="json", exclude_unset=True)}

    def write(self, path: Path) -> None:
        """Write the document as JSON."""
        path.write_bytes(orjson.dumps(self.as_dict(), option=orjson.OPT_INDENT_2))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and validate a document.

        Raises:
            ReportInvalid: the file cannot be read, or does not follow the schema, naming the first wrong key.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as exc:
            raise ReportInvalid(f"{path}: cannot be read ({exc.strerror}); expected results as JSON") from exc
        except ValidationError as exc:
            first = exc.errors()[0]
            key = ".".join(map(str, first["loc"])) or "the whole document"
            raise ReportInvalid(
                f"{path}: {key}: {first['msg']}; expected results of schema version {SCHEMA_VERSION}"
            ) from exc


class FiguresAsJson:
    """Figures as one flat object: a key per mean, and for its interval the same key with an ending."""

    def __init__(self, ending: str) -> None:
        self._ending = ending

    def read(self, value: Any) -> Any:
        """Figures from JSON; figures themselves pass."""
        if not isinstance(value, Mapping) or any(isinstance(figure, Figure) for figure in value.values()):
            return value
        metrics = [key for key in value if not key.endswith(self._ending)]
        return {metric: (value[metric], value.get(f"{metric}{self._ending}")) for metric in metrics}

    def write(self, figures: Figures) -> dict[str, float | list[float]]:
        """Figures for JSON."""
        document: dict[str, float | list[float]] = {}
        for metric, figure in figures.items():
            document[metric] = figure.mean
            if figure.interval is not None:
                document[f"{metric}{self._ending}"] = list(figure.interval)
        return document


def _difference_from_json(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {("reference" if key == HEADLINE else key): part for key, part in value.items()}


def _difference_to_json(value: Difference) -> dict[str, Any]:
    document = {HEADLINE: value.reference, "difference": value.difference, "interval": list(value.interval)}
    return {"name": value.name, **document} if value.name else document


def _complete_summary(value: Any) -> Any:
    """Add to the data summary of an older document the keys that it lacks."""
    if not isinstance(value, Mapping):
        return value
    histogram = value.get("histogram")
    bars = [bar for bar in histogram if isinstance(bar, Mapping)] if isinstance(histogram, list | tuple) else []
    bars = bars or [{}]
    span = {"value_min": bars[0].get("low", 0.0), "value_max": bars[-1].get("high", 0.0)}
    return {"n_attributes": 0, "n_users_described": 0, "reason": "", "types": {}, **span, **value}


_FIGURES = FiguresAsJson(" interval")
AtShots = dict[int, Annotated[Figures, BeforeValidator(_FIGURES.read), PlainSerializer(_FIGURES.write)]]
"""k → metric → figure."""
DifferenceAtShots = dict[
    int, Annotated[Difference, BeforeValidator(_difference_from_json), PlainSerializer(_difference_to_json)]
]
"""k → difference."""
DataSummary = Annotated[Summary, BeforeValidator(_complete_summary), PlainSerializer(Summary.as_dict)]
