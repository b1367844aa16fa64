"""A store of which a test overrides single methods."""

from __future__ import annotations

from typing import Any

from manifests.stores.store import Store


class Wrapped:
    """A real store; a subclass overrides what is to go wrong."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)
