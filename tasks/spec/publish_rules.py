"""The rules an edit is published under: which of its images pass, and which labels it changes.

They are no part of any request's id. The snapshot holds their text beside every part, which is how a publish knows
what is up to date, and how anybody knows what is in force.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tasks.spec.gates import Gates
from tasks.spec.labels import Labels
from tasks.spec.requests import canonical_json

RULES_VERSION = 1
"""Raised when publishing writes other rows for the same rules: everything is then published again."""


@dataclass(frozen=True, kw_only=True)
class PublishRules:
    """How the rows of one edit are published."""

    gates: Gates = field(default_factory=Gates)
    labels: Labels = field(default_factory=dict)  # dotted path -> value, see tasks.spec.labels.flat_labels

    @cached_property
    def text(self) -> str:
        """One text per meaning: equal rules have equal texts."""
        return canonical_json({"version": RULES_VERSION, "gates": self.gates.active, "labels": self.labels})

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> PublishRules:
        """From what asdict() gives, as the plan's file has it."""
        return cls(gates=Gates(**fields["gates"]), labels=fields["labels"])

    @classmethod
    def read(cls, text: str) -> PublishRules:
        """From `text`; rules that nobody noted, "", are empty ones."""
        return cls.of(json.loads(text)) if text else cls()
