//! Schemas of the scalar values that Kubernetes users write as text.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A span of time in Go's notation, as [`stompbroker_config::GoDuration`] reads it.
pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 20,
        "pattern": r"^([0-9]{1,5}(\.[0-9]{1,3})?(h|m|s|ms))+$",
    })
}

/// A number of octets, as [`stompbroker_config::ByteSize`] reads it: an integer, or a quantity without a fraction.
pub(super) fn byte_size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "pattern": r"^[0-9]{1,12}(Ki|Mi|Gi|k|M|G)?$",
    })
}

/// A map of resource names to quantities; written out because the derived one repeats a page of description.
pub(super) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
        },
    })
}
