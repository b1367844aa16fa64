"""What a publish has to change in the manifest, so that it says what is committed and what has become of the sources.

Each source, which is one input tar, has one current content: when rows of a new content come, those of the old one
leave, of all edits. A source is gone if the job's patterns would name it and it is not there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from manifests.parquet.schema import SourceState
from manifests.table import Manifest, PublishedRequest
from tasks.inputs.present import is_current, is_present, named_by
from tasks.plan.plan import Plan
from tasks.plan.precedence import RequestPrecedence

Published = Mapping[str, PublishedRequest]
STATE_OF_GONE: Mapping[str, SourceState] = {"keep": "kept", "mark": "removed"}


class Ready(NamedTuple):
    """A request of the plan that is committed; small, because there may be a million."""

    edit: str  # edit id
    uri: str  # of its shard


@dataclass(frozen=True)
class Changes:
    """The changes of one publish, by request id."""

    write: Mapping[str, str]  # -> text of the rules; the rows come from the commit, and replace published ones
    remove: frozenset[str]  # published requests whose rows leave
    states: Mapping[str, SourceState]  # published requests -> new source_state
    edits: Mapping[str, str]  # of all of them -> edit id


def changes_of(
    manifest: Manifest, published: Published, plan: Plan, precedence: RequestPrecedence, done: Collection[str]
) -> Changes:
    """What publishing the committed requests `done` of a plan changes in this version of the manifest."""
    ready = {
        request.id: Ready(request.spec.edit_id, request.shard.uri)
        for shard in plan.edit_requests()
        for request in shard
        if request.id in done
    }
    in_force = precedence.in_force(published.keys() | ready.keys())
    valid = {id_: request for id_, request in ready.items() if in_force[id_] == id_}
    remove = {id_ for id_ in published if in_force.get(id_, id_) != id_}
    results = {request.uri for request in valid.values()}
    newer, outdated = _other_contents(published, plan)
    remove |= {id_ for id_, uri in newer.items() if uri in results}
    texts = {edit.edit_id: plan.rules_of(edit).text for edit in plan.edits}
    wanted = {id_: texts[request.edit] for id_, request in valid.items() if request.uri not in outdated}
    before = {} if manifest.earlier else {id_: each.rules for id_, each in published.items()}
    write = {id_: text for id_, text in wanted.items() if before.get(id_) != text}
    if manifest.earlier:  # all that it has becomes the first version of the table
        write = {id_: each.rules for id_, each in published.items() if id_ not in remove} | write
    states = dict(_states(published, plan, newer))
    if plan.removed_inputs == "drop":
        remove |= {id_ for id_, state in states.items() if state == "removed"}
    return Changes(
        write={id_: text for id_, text in write.items() if id_ not in remove},
        remove=frozenset(remove),
        states={id_: state for id_, state in states.items() if id_ not in remove},
        edits={id_: each.edit for each_of in (published, ready) for id_, each in each_of.items()},
    )


def _other_contents(published: Published, plan: Plan) -> tuple[dict[str, str], set[str]]:
    """Published requests (-> uri) of another content than that of the plan, which the source has now; and sources whose
    content was changed again after they were planned, and published by another plan."""
    shards = {shard.uri: shard for shard in plan.shards}
    others = defaultdict[str, list[str]](list)
    for id_, each in published.items():
        shard = shards.get(each.source_uri or "")
        if shard is not None and each.source_version not in (None, shard.version):
            others[shard.uri].append(id_)
    current = {uri for uri in others if is_current(shards[uri])}
    return {id_: uri for uri in current for id_ in others[uri]}, others.keys() - current


def _states(published: Published, plan: Plan, newer: Collection[str]) -> Iterator[tuple[str, SourceState]]:
    """Published requests whose source_state is another one now, with the new one; `newer`: see _other_contents."""
    versions = {shard.uri: shard.version for shard in plan.shards}
    whole = plan.limit_samples is None  # with a limit, the plan has not all shards that the patterns name
    named = named_by(plan.patterns if whole else ())
    unknown = {each.source_uri for each in published.values()} - versions.keys() - {None}
    gone = {uri for uri in unknown if uri and named(uri) and not is_present(uri, plan.s3)}
    for id_, each in published.items():
        state: SourceState | None = None
        if each.source_uri in gone:
            state = STATE_OF_GONE.get(plan.removed_inputs, "removed")
        elif id_ in newer:
            state = "changed"
        elif each.source_uri and versions.get(each.source_uri) == each.source_version:
            state = "present"
        if state not in (None, each.source_state) or (state == "removed" and plan.removed_inputs == "drop"):
            yield id_, state or "present"
