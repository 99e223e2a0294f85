"""Errors of the model store, one tree.

ModelStoreError
├── DataError            a source cannot be read, or lacks data to learn from
├── TrainingError        training cannot start or continue
├── ReportInvalid        a file of results does not follow their schema
├── ExportRefused        an exported graph differs from torch; nothing is published
├── BundleError          a bundle cannot be used
│   ├── BundleDamaged    a file is missing or differs from the manifest
│   ├── SchemaMismatch   the bundle has another schema version
│   ├── GoldenMismatch   the graphs do not reproduce the bundle's golden cases
│   ├── LibraryMissing   the bundle needs a library that is not installed
│   └── SignatureRefused the manifest is unsigned, or signed by an untrusted key
├── SigningKeyInvalid    a signing key cannot be read or created, or has the wrong type
└── RegistryError        the bundles folder lacks the bundle, or an earlier one to roll back to

Messages name the thing, the value and the expectation; the command line prints them without a traceback.
"""
# ruff: noqa: N818 - names of errors say what happened

from __future__ import annotations


class ModelStoreError(Exception):
    """Base class of all errors that this package raises."""


class DataError(ModelStoreError):
    """A data source cannot be read, or lacks data to learn from."""


class TrainingError(ModelStoreError):
    """Training cannot start or continue."""


class ReportInvalid(ModelStoreError):
    """A file of results cannot be read, or does not follow the schema of results."""


class ExportRefused(ModelStoreError):
    """An exported graph differs from torch by more than the tolerance; nothing was published."""


class BundleError(ModelStoreError):
    """A bundle cannot be used."""


class BundleDamaged(BundleError):
    """A file of the bundle is missing or differs from the manifest."""


class SchemaMismatch(BundleError):
    """The bundle has a schema version that this code does not read."""


class GoldenMismatch(BundleError):
    """The bundle's graphs do not reproduce its golden cases on this machine."""


class LibraryMissing(BundleError):
    """The bundle needs a library of an optional extra that is not installed."""


class SignatureRefused(BundleError):
    """The bundle's manifest is unsigned, or signed by an untrusted key."""


class SigningKeyInvalid(ModelStoreError):
    """A key for signing or verifying bundles cannot be read or created, or has the wrong type."""


class RegistryError(ModelStoreError):
    """The bundles folder lacks the requested bundle, or an earlier one to roll back to."""
