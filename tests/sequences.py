"""Random sequences of what happens to an output, without networks, and what every reader then sees of it.

`python -m tests.sequences 0 200` runs those of the seeds 0 to 199; the suite runs a few.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from manifests.commit import committed
from manifests.query import query
from manifests.stores.open import open_store
from manifests.table import Manifest
from tasks.inputs.find import describe
from tasks.plan.plan import Plan
from tasks.plan.retry import record_retries
from tasks.plan.retry_log import read_retries
from tasks.publish import publish
from tasks.publish.publish import publish_edits
from tasks.spec.gates import Gates
from tasks.spec.publish_rules import PublishRules
from tests.commits import commit_all, small_plan
from tests.readers import run_in_readers

SAMPLES = 2
NAMES = ("a", "b", "c")
STEPS = 7
COLUMNS = "edit, source_uri, key, request_id, status, source_state, source_version, image_uri, row_group, row"
OTHER_READERS = """
import json, pathlib, sys
import duckdb, duckdb_extension_delta, polars
(extension,) = pathlib.Path(duckdb_extension_delta.__file__).parent.rglob("*.duckdb_extension")
connection = duckdb.connect()
connection.execute(f"LOAD '{{extension}}'; SET enable_progress_bar = false")
found = {{}}
for table in {tables!r}:
    by_duckdb = connection.sql(f"SELECT {columns} FROM delta_scan('{{table}}')").fetchall()
    by_polars = polars.read_delta(table).select({columns!r}.split(", ")).rows()
    found[table] = [by_duckdb, by_polars]
print(json.dumps(found))
"""


@dataclass
class Sequence:
    """One output, the sources it is made of, and the choices of a seed."""

    folder: Path
    seed: int
    done: list[str] = field(default_factory=list)  # the steps, for messages
    rules: dict[str, PublishRules] = field(default_factory=dict)
    policy: Any = "mark"

    def __post_init__(self) -> None:
        self.choose = random.Random(self.seed)
        self.sources = [self.folder / f"{name}.tar" for name in NAMES]
        for source in self.sources:
            source.write_bytes(source.name.encode())

    @property
    def plan(self) -> Plan:
        """A plan of what is there now."""
        plan = small_plan(self.folder, rules=dict(self.rules))
        shards = tuple(describe(source) for source in self.sources if source.exists())
        fields = {"job": {"inputs": [str(self.folder / "*.tar")]}, "removed_inputs": self.policy}
        retries = read_retries(open_store(plan.output))
        return replace(plan, shards=shards, retries=retries, run_id=f"run-{len(self.done)}", **fields)

    def run(self) -> Sequence:
        """All steps, and a publish of everything at the end."""
        for _ in range(STEPS):
            step = self.choose.choice(sorted(ACTIONS))
            self.done.append(step)
            ACTIONS[step](self)
        self.publish()
        return self

    def publish(self, share: float = 1.0) -> None:
        plan = self.plan
        store, some = open_store(plan.output), replace(plan, edits=plan.edits[: 1 + self.choose.randrange(2)])
        if self.choose.random() < 0.7 or share == 1:
            requests = {request.id for shard in some.edit_requests() for request in shard}
            if requests - committed(store):
                commit_all(some, SAMPLES, seed=self.seed)
        ids = sorted(committed(store))
        publish_edits(store, plan, frozenset(self.choose.sample(ids, round(share * len(ids)))))

    def die_while_publishing(self) -> None:
        """The process ends right before or after the transaction."""
        commit, after = Manifest.commit, self.choose.random() < 0.5

        def dying(*given: Any) -> bool:
            if after:
                commit(*given)
            raise Killed

        Manifest.commit = dying  # type: ignore[method-assign]
        leave, publish._Publisher.__exit__ = publish._Publisher.__exit__, lambda *_: None  # type: ignore[method-assign,assign]
        try:
            self.publish()
        except Killed:
            pass
        finally:
            Manifest.commit, publish._Publisher.__exit__ = commit, leave  # type: ignore[method-assign]

    def republish(self) -> None:
        edit = self.choose.choice(("red", "smile"))
        self.rules[edit] = PublishRules(gates=Gates(min_direction=self.choose.choice((0.2, 0.6, None))))
        self.publish()

    def retry(self) -> None:
        plan = self.plan
        if plan.shards:
            request = self.choose.choice([each for shard in plan.edit_requests() for each in shard])
            retries = {**plan.retries, replace(request, retry=0).id: request.retry + 1}
            record_retries(open_store(plan.output), replace(plan, retries=retries))

    def replace_source(self) -> None:
        self.choose.choice(self.sources).write_bytes(self.choose.randbytes(3))

    def remove_source(self) -> None:
        self.choose.choice(self.sources).unlink(missing_ok=True)

    def change_policy(self) -> None:
        self.policy = self.choose.choice(("keep", "mark", "drop"))


class Killed(Exception):  # noqa: N818
    """Stands for the end of the process."""


ACTIONS: Mapping[str, Callable[[Sequence], None]] = {
    "publish": lambda each: each.publish(),
    "publish some": lambda each: each.publish(0.5),
    "die": Sequence.die_while_publishing,
    "republish": Sequence.republish,
    "retry": Sequence.retry,
    "replace": Sequence.replace_source,
    "remove": Sequence.remove_source,
    "policy": Sequence.change_policy,
}


def check(sequences: list[Sequence]) -> None:
    """Every reader gives the same rows, each sample of each edit once, of the content that its source has."""
    tables = [f"{each.folder}/out/manifest" for each in sequences]
    found = json.loads(run_in_readers(OTHER_READERS.format(tables=tables, columns=COLUMNS)))
    for each, table in zip(sequences, tables, strict=True):
        rows = query(open_store(each.folder / "out"), f"SELECT {COLUMNS} FROM manifest").to_pylist()
        ours = sorted(map(str, (list(row.values()) for row in rows)))
        told = f"seed {each.seed}: {each.done}"
        assert [sorted(map(str, other)) for other in found[table]] == [ours, ours], told
        samples = [(row["edit"], row["source_uri"], row["key"]) for row in rows]
        assert len(samples) == len(set(samples)), told
        versions = {source.as_uri(): describe(source).sha256 for source in each.sources if source.exists()}
        for row in rows:
            current = versions.get(row["source_uri"])
            states = {"kept", "removed"} if current is None else {"present"}
            assert row["source_state"] in states, told
            assert current in (None, row["source_version"]), told
        assert {row["source_uri"] for row in rows} >= versions.keys(), told


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for begin in range(int(sys.argv[1]), int(sys.argv[2]), 10):
            sequences = []
            for seed in range(begin, begin + 10):
                place = Path(folder) / str(seed)
                place.mkdir()
                sequences.append(Sequence(place, seed).run())
            check(sequences)
            print(f"seeds {begin} to {begin + 9}: every reader agrees", flush=True)


if __name__ == "__main__":
    main()
