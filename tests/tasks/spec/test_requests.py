from __future__ import annotations

from dataclasses import replace

import pytest

from coral_core.editors import Limits
from tasks.spec.geometry import Geometry
from tasks.spec.requests import (
    EditRequest,
    EditSpec,
    FitRequest,
    InvertRequest,
    InvertSpec,
    Shard,
    canonical_json,
    content_id,
)

SHARD = Shard(uri="file:///a.tar", size=1024, sha256="ab", stamp="now")
INVERT = InvertSpec(geometry=Geometry(), batch_size=4, digests={"generator": "g", "encoder": "e"})
FIT = FitRequest(method="m", options={"steps": 3}, target="red", source="a photo", digests={"clip": "c"})
EDIT = EditSpec(
    slug="red",
    target="red",
    source="a photo",
    method="m",
    options={"steps": 3},
    fit_id="f",
    strength=1.0,
    onto="source",
    image_format="png",
    seed=0,
    batch_size=4,
    digests={"clip": "c"},
)
REQUEST = EditRequest(inversion=InvertRequest(shard=SHARD, spec=INVERT), spec=EDIT)


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert (
        canonical_json({"b": 1, "a": [1.5, None]})
        == '{"a":[1.5,null],"b":1}'
        == canonical_json({"a": [1.5, None], "b": 1})
    )


def test_canonical_json_refuses_nan() -> None:
    with pytest.raises(ValueError):
        content_id({"strength": float("nan")})


def test_the_id_of_a_shard_depends_on_its_content_and_not_on_its_stamp() -> None:
    assert replace(SHARD, stamp="later").id == SHARD.id
    for change in ({"uri": "file:///b.tar"}, {"size": 2048}, {"sha256": "cd"}, {"limit": 3}):
        assert replace(SHARD, **change).id != SHARD.id


def test_every_part_of_an_edit_changes_its_id() -> None:
    changes = [
        {"target": "blue"},
        {"source": "a person"},
        {"options": {"steps": 4}},
        {"fit_id": "g"},
        {"strength": 0.5},
        {"onto": "reconstruction"},
        {"image_format": "webp"},
        {"seed": 1},
        {"batch_size": 8},
        {"digests": {"clip": "d"}},
        {"limits": Limits(threshold=0.5)},
        {"limits": Limits(layers=(3,))},
        {"mask": "mask.png"},
        {"all_of": ("red",)},
        {"all_of": ("red", "round")},
    ]
    ids = {replace(REQUEST, spec=replace(EDIT, **change)).id for change in changes}
    assert len(ids | {REQUEST.id}) == len(changes) + 1


def test_an_edit_without_limits_has_the_id_it_had_before_there_were_any() -> None:
    assert replace(EDIT, limits=Limits(threshold=0.0, layers=()), mask="").digest == EDIT.digest
    assert EDIT.digest == "3786a566348d09ac92ea5edce0af9f5cd0c806518db5b4c238ced8704c2852dd"


def test_the_order_of_wishes_is_no_part_of_an_id_nor_are_no_wishes() -> None:
    assert replace(EDIT, all_of=("b", "a")).digest == replace(EDIT, all_of=("a", "b")).digest
    assert replace(EDIT, all_of=()).digest == EDIT.digest


def test_an_edit_changes_with_the_inversion_it_starts_from() -> None:
    other = replace(INVERT, digests={"generator": "g", "encoder": "another"})
    assert replace(REQUEST, inversion=replace(REQUEST.inversion, spec=other)).id != REQUEST.id


def test_edit_ids_are_a_slug_and_a_short_hash() -> None:
    slug, _, digest = EDIT.edit_id.partition("-")
    assert slug == "red" and len(digest) == 8
    assert len(FIT.id) == len(REQUEST.id) == 64


@pytest.mark.parametrize("retry", [0, 3])
def test_the_id_of_an_edit_is_that_of_its_canonical_json(retry: int) -> None:
    request = EditRequest(inversion=InvertRequest(shard=SHARD, spec=INVERT), spec=EDIT)
    content = {"kind": "edit", "inversion": request.inversion.id, "edit": request.spec.digest}
    again = {"retry": retry} if retry else {}
    assert replace(request, retry=retry).id == content_id({**content, **again})
