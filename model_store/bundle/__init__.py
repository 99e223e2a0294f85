"""The contract between learning and answering: a versioned folder that *is* the model.

This package is all that ``service`` knows of ``model_store``. It imports no torch.
"""

from model_store.bundle.allowed import AllowedRows
from model_store.bundle.attributes import NO_ATTRIBUTES, Attributes, Encoded, Value
from model_store.bundle.items import UNKNOWN_ROW, Catalogue
from model_store.bundle.manifest import SCHEMA_VERSION, FeedbackSpec, Manifest, ManifestCheck
from model_store.bundle.reader import Bundle, open_bundle
from model_store.bundle.registry import Registry
from model_store.bundle.runtime import EXCLUDED, NO_BIASES, Biases, RankedRows, RankRequest, Runtime, exclusion
from model_store.bundle.scale import Kind, Scale, adds, read_on, scale_of
from model_store.bundle.sessions import Addends, Graphs
from model_store.bundle.support import NO_SUPPORT, Support, UserSupport, padded

__all__ = [
    "EXCLUDED",
    "NO_ATTRIBUTES",
    "NO_BIASES",
    "NO_SUPPORT",
    "SCHEMA_VERSION",
    "UNKNOWN_ROW",
    "Addends",
    "AllowedRows",
    "Attributes",
    "Biases",
    "Bundle",
    "Catalogue",
    "Encoded",
    "FeedbackSpec",
    "Graphs",
    "Kind",
    "Manifest",
    "ManifestCheck",
    "RankRequest",
    "RankedRows",
    "Registry",
    "Runtime",
    "Scale",
    "Support",
    "UserSupport",
    "Value",
    "adds",
    "exclusion",
    "open_bundle",
    "padded",
    "read_on",
    "scale_of",
]
