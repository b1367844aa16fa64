"""Weight files, the catalogue of bundles, Models."""
