"""Transport: edits that move a latent as samples without an attribute must move to be distributed as those with it."""
