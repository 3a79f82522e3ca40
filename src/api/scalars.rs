//! Schemas of the scalar values that Kubernetes users write as text.

use schemars::{Schema, SchemaGenerator, json_schema};

/// What a span of time looks like, in CEL and of `{}`.
pub(super) const DURATION: &str = r"matches('^([0-9]{1,5}([.][0-9]{1,3})?(h|m|s|ms))+$')";

/// A span of time in Go's notation, as [`stompbroker_config::GoDuration`] reads it. A rule instead of a pattern, for the
/// sake of its message.
pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 20,
        "x-kubernetes-validations": [{
            "rule": format!("self.{DURATION}"),
            "messageExpression": "'%s is not a duration; write for example 250ms, 10s, 5m or 1h30m'.format([self])",
        }],
    })
}

/// Addresses and ranges of them, as [`stompbroker_config::AddressRange`] reads each.
pub(super) fn address_ranges(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 64,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": 64,
            "x-kubernetes-validations": [{
                "rule": "isIP(self) || isCIDR(self)",
                "messageExpression": "'%s is neither an IP address nor a range of them; write for example 192.0.2.7 or \
                    10.0.0.0/16'.format([self])",
            }],
        },
    })
}

/// A number of octets, as [`stompbroker_config::ByteSize`] reads it: an integer, or a quantity without a fraction.
pub(super) fn byte_size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "maxLength": 20,
        "x-kubernetes-validations": [{
            "rule": "string(self).matches('^[1-9][0-9]{0,11}(Ki|Mi|Gi|k|M|G)?$')",
            "messageExpression": "'%s is not a size; write octets as a positive integer, or a quantity such as 64Ki, 4Mi or \
                1G'.format([self])",
        }],
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

/// A value of any type, kept as it is.
pub(super) fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

/// A map of short names to texts that the operator passes on.
pub(super) fn texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 4096},
    })
}
