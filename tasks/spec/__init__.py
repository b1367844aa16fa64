"""What is asked for and the ids that follow, in plain dataclasses: job, requests, geometry, resources and gates."""
