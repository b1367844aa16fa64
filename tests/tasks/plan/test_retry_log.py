"""The recorded retries are read from one listing."""

from __future__ import annotations

from manifests.stores.store import Store
from tasks.plan.retry_log import PREFIX, read_retries


def test_the_highest_number_of_each_request_counts(store: Store) -> None:
    assert read_retries(store) == {}
    for name in ("aa-1", "aa-2", "aa-10", "bb-c-1"):
        assert store.put_new(f"{PREFIX}{name}.json", b"{}")
    assert store.put_new("commits/aa-99.json", b"{}")
    assert read_retries(store) == {"aa": 10, "bb-c": 1}
