"""Requests and their ids in plain dataclasses: job, requests, geometry, resources and gates."""
