"""Errors of the model store, one tree.

ModelStoreError
├── DataError            a source cannot be read, or holds nothing to learn from
├── TrainingError        training cannot start or go on
├── ReportInvalid        a file of results does not follow their schema
├── ExportRefused        a graph misses its parity with torch, so nothing is published
├── BundleError          a bundle cannot be used
│   ├── BundleDamaged    a file is missing, or is not the one the manifest names
│   ├── SchemaMismatch   the bundle is of another schema version
│   ├── GoldenMismatch   the graphs do not reproduce the bundle's golden cases
│   ├── LibraryMissing   the bundle needs a library that is not installed
│   └── SignatureRefused its manifest is not signed by a trusted key
├── SigningKeyInvalid    a key to sign or verify bundles with is none
└── RegistryError        a store has no such bundle, or nothing to roll back to

Messages name the thing, the value and the expectation; the command line prints them without a traceback.
"""

from __future__ import annotations


class ModelStoreError(Exception):
    """Base of everything this package raises on purpose."""


class DataError(ModelStoreError):
    """A data source cannot be read, or holds nothing to learn from."""


class TrainingError(ModelStoreError):
    """Training cannot start or go on."""


class ReportInvalid(ModelStoreError):  # noqa: N818 - the name says what happened
    """A file of results cannot be read, or does not follow the schema of results."""


class ExportRefused(ModelStoreError):  # noqa: N818 - the name says what happened
    """An exported graph misses its parity with torch; nothing was published."""


class BundleError(ModelStoreError):
    """A bundle cannot be used."""


class BundleDamaged(BundleError):  # noqa: N818 - the name says what happened
    """A file of the bundle is missing, or is not the one its manifest names."""


class SchemaMismatch(BundleError):  # noqa: N818 - the name says what happened
    """The bundle follows another schema version than this code."""


class GoldenMismatch(BundleError):  # noqa: N818 - the name says what happened
    """The bundle's graphs do not reproduce its golden cases on this machine."""


class LibraryMissing(BundleError):  # noqa: N818 - the name says what happened
    """The bundle needs a library that comes with an extra and is not installed."""


class SignatureRefused(BundleError):  # noqa: N818 - the name says what happened
    """The bundle's manifest is not signed, or by no trusted key."""


class SigningKeyInvalid(ModelStoreError):  # noqa: N818 - the name says what happened
    """A key to sign or verify bundles with cannot be read, made, or is of another kind."""


class RegistryError(ModelStoreError):
    """The store has no such bundle, or nothing to roll back to."""
