"""Source tars: find and identify them, bring one to local disk, read it as samples."""
