//! `metadata.managedFields`, reduced while it is read to what matters of it (pure): as a tree it is larger than most objects are.

use std::{
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, MapAccess, Visitor},
};

use crate::FIELD_MANAGER;
use crate::controller::hash;

/// Who owns which fields of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Option<Vec<Entry>>")]
pub(crate) struct ManagedFields {
    /// A number of the fields that we own, outside of subresources.
    pub(crate) own: u64,
    /// Whether `spec.replicas` is ours.
    pub(crate) owns_replicas: bool,
    /// Who owns `spec.replicas` when we do not.
    pub(crate) scaled_by: Option<String>,
}

/// One manager's share.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    manager: Option<String>,
    operation: Option<String>,
    api_version: Option<String>,
    subresource: Option<String>,
    fields_v1: Option<Fields>,
}

impl From<Option<Vec<Entry>>> for ManagedFields {
    fn from(entries: Option<Vec<Entry>>) -> Self {
        let mut managed = Self::default();
        let mut hasher = DefaultHasher::new();
        for Entry { manager, operation, api_version, subresource, fields_v1 } in entries.into_iter().flatten() {
            let fields = fields_v1.unwrap_or_default();
            let ours = manager.as_deref() == Some(FIELD_MANAGER) && subresource.is_none();
            if ours {
                (operation, api_version, fields.sum).hash(&mut hasher);
            }
            managed.owns_replicas |= ours && fields.replicas;
            if fields.replicas && managed.scaled_by.is_none() {
                managed.scaled_by = manager;
            }
        }
        managed.own = hasher.finish();
        managed.scaled_by.take_if(|_| managed.owns_replicas);
        managed
    }
}

impl From<&[ManagedFieldsEntry]> for ManagedFields {
    fn from(entries: &[ManagedFieldsEntry]) -> Self {
        let entries = entries.iter().map(|entry| Entry {
            manager: entry.manager.clone(),
            operation: entry.operation.clone(),
            api_version: entry.api_version.clone(),
            subresource: entry.subresource.clone(),
            fields_v1: entry.fields_v1.as_ref().and_then(|tree| Fields::deserialize(&tree.0).ok()),
        });
        Some(entries.collect::<Vec<_>>()).into()
    }
}

/// A `FieldsV1` tree.
#[derive(Clone, Copy, Default)]
struct Fields {
    /// The same for the same fields, in whatever order they come.
    sum: u64,
    /// Whether `spec.replicas` is among them.
    replicas: bool,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Place::Top.deserialize(deserializer)
    }
}

/// Where in a tree.
#[derive(Clone, Copy)]
enum Place {
    Top,
    Spec,
    Elsewhere,
}

impl<'de> DeserializeSeed<'de> for Place {
    type Value = Fields;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Place {
    type Value = Fields;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a tree of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(Name { hash: name, is_spec, is_replicas }) = map.next_key()? {
            let place = if matches!(self, Self::Top) && is_spec { Self::Spec } else { Self::Elsewhere };
            let below = map.next_value_seed(place)?;
            fields.sum = fields.sum.wrapping_add(hash((name, below.sum)));
            fields.replicas |= below.replicas || (matches!(self, Self::Spec) && is_replicas);
        }
        Ok(fields)
    }
}

/// The name of a node.
struct Name {
    hash: u64,
    is_spec: bool,
    is_replicas: bool,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl Visitor<'_> for Names {
            type Value = Name;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a field")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(Name { hash: hash(name), is_spec: name == "f:spec", is_replicas: name == "f:replicas" })
            }
        }
        deserializer.deserialize_str(Names)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(manager: &str, subresource: Option<&str>, fields: &Value) -> Value {
        json!({"manager": manager, "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
               "fieldsV1": fields, "subresource": subresource, "time": "2026-01-02T03:04:05Z"})
    }

    fn read(entries: &Value) -> ManagedFields {
        serde_json::from_value(entries.clone()).unwrap()
    }

    #[test]
    fn our_fields_are_the_same_in_any_order_and_different_when_one_is_gone() {
        let tree = |text: &str| serde_json::from_str::<Fields>(text).unwrap().sum;
        let all = tree(r#"{"f:spec": {"f:ports": {"k:{\"port\":80}": {".": {}, "f:name": {}}}}, "f:metadata": {}}"#);
        let turned = tree(r#"{"f:metadata": {}, "f:spec": {"f:ports": {"k:{\"port\":80}": {"f:name": {}, ".": {}}}}}"#);
        assert_eq!(all, turned);
        let without = tree(r#"{"f:spec": {"f:ports": {"k:{\"port\":80}": {".": {}}}}, "f:metadata": {}}"#);
        let elsewhere =
            tree(r#"{"f:spec": {"f:ports": {"k:{\"port\":80}": {".": {}}}, "f:name": {}}, "f:metadata": {}}"#);
        assert_ne!(all, without);
        assert_ne!(all, elsewhere);
    }

    #[test]
    fn only_our_own_fields_outside_of_subresources_count() {
        let ours = entry(FIELD_MANAGER, None, &json!({"f:data": {"f:broker.yaml": {}}}));
        let status = entry(FIELD_MANAGER, Some("status"), &json!({"f:status": {}}));
        let other = entry("kubectl-annotate", None, &json!({"f:metadata": {"f:annotations": {"f:x": {}}}}));
        assert_eq!(read(&json!([ours])).own, read(&json!([other, ours, status])).own);
        assert_ne!(read(&json!([ours])).own, read(&json!([])).own);
        assert_eq!(read(&Value::Null), read(&json!([])));
        assert_eq!(read(&json!([entry("other", None, &Value::Null)])), read(&json!([])));
    }

    #[test]
    fn the_number_of_pods_is_ours_or_that_of_whoever_scales() {
        let replicas = json!({"f:spec": {"f:replicas": {}}});
        let ours = read(&json!([entry("kubectl", Some("scale"), &replicas), entry(FIELD_MANAGER, None, &replicas)]));
        assert_eq!((ours.owns_replicas, ours.scaled_by), (true, None));
        let theirs =
            read(&json!([entry("vpa", None, &json!({"f:replicas": {}})), entry("kubectl", Some("scale"), &replicas)]));
        assert_eq!((theirs.owns_replicas, theirs.scaled_by.as_deref()), (false, Some("kubectl")));
    }

    #[test]
    fn an_object_that_was_read_whole_counts_the_same() {
        let entries =
            json!([entry(FIELD_MANAGER, None, &json!({"f:spec": {"f:replicas": {}, "f:template": {".": {}}}}))]);
        let whole: Vec<ManagedFieldsEntry> = serde_json::from_value(entries.clone()).unwrap();
        assert_eq!(ManagedFields::from(&*whole), read(&entries));
    }
}
