"""Source tars: find and identify them, copy one to local disk, read it as samples."""
