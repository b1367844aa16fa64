"""Pictures of stored results, for reports and previews."""
