"""Every column has one explicit type, and other software reads image columns as images."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from manifests.parquet.schema import (
    EDIT_SCHEMA,
    INVERSION_SCHEMA,
    LOW_CARDINALITY,
    MANIFEST_SCHEMA,
    PAYLOAD,
    ROWS_SCHEMA,
    STATUSES,
    inversion_schema,
    ws_shape,
)

SCHEMAS = {"edit": EDIT_SCHEMA, "rows": ROWS_SCHEMA, "manifest": MANIFEST_SCHEMA, "inversion": INVERSION_SCHEMA}


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_have_a_name_and_a_version(name: str) -> None:
    schema = SCHEMAS[name]
    assert (schema.metadata[b"coral.schema"], schema.metadata[b"coral.version"]) == (name.encode(), b"1")
    assert not any(pa.types.is_null(field.type) for field in schema)


def test_images_and_masks_are_declared_to_hugging_face_datasets() -> None:
    assert json.loads(EDIT_SCHEMA.metadata[b"huggingface"]) == {
        "info": {"features": {"image": {"_type": "Image"}, "mask": {"_type": "Image"}}}
    }
    for name in ("image", "mask"):
        field = EDIT_SCHEMA.field(name)
        assert field.nullable and field.type == pa.struct({"bytes": pa.binary(), "path": pa.string()})


def test_rows_are_the_edit_rows_without_payload() -> None:
    assert [name for name in EDIT_SCHEMA.names if name not in PAYLOAD] == ROWS_SCHEMA.names


def test_the_manifest_adds_to_the_rows_and_holds_no_payload() -> None:
    assert MANIFEST_SCHEMA.names[: len(ROWS_SCHEMA)] == ROWS_SCHEMA.names
    assert PAYLOAD.isdisjoint(MANIFEST_SCHEMA.names)


def test_storage_tables_name_existing_columns() -> None:
    known = {name for schema in SCHEMAS.values() for name in schema.names}
    assert known >= LOW_CARDINALITY and known >= PAYLOAD and PAYLOAD.isdisjoint(LOW_CARDINALITY)


def test_the_shape_of_ws_is_in_the_schema() -> None:
    assert ws_shape(inversion_schema(10, 256)) == (10, 256)
    assert inversion_schema(10, 256).equals(INVERSION_SCHEMA)
    with pytest.raises(ValueError, match="inversion_schema"):
        ws_shape(INVERSION_SCHEMA)


def test_statuses_are_listed_once() -> None:
    assert STATUSES[0] == "ok" and len(set(STATUSES)) == len(STATUSES)
