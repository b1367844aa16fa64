"""The rules for publishing an edit: which of its images pass, and which labels it changes.

They are not part of any request's id. Every row of the manifest has the text of its rules, so that a publish can
compare it with the current rules, and readers can see which rules were used.
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
"""Increased when publishing writes different rows for the same rules: everything is then published again."""


@dataclass(frozen=True, kw_only=True)
class PublishRules:
    """How the rows of one edit are published."""

    gates: Gates = field(default_factory=Gates)
    labels: Labels = field(default_factory=dict)  # dotted path -> value, see tasks.spec.labels.flat_labels

    @cached_property
    def text(self) -> str:
        """Canonical JSON: equal rules have equal texts."""
        return canonical_json({"version": RULES_VERSION, "gates": self.gates.active, "labels": self.labels})

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> PublishRules:
        """From the result of asdict(), as it is stored in the plan's file."""
        return cls(gates=Gates(**fields["gates"]), labels=fields["labels"])

    @classmethod
    def read(cls, text: str) -> PublishRules:
        """From `text`; "", of rows that an early version published without rules, gives empty rules."""
        return cls.of(json.loads(text)) if text else cls()
