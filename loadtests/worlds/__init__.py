"""Made-up bundles, events, users and records."""
