//! Reading StompBroker manifests from files.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::Path,
};

use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

use crate::{
    api::StompBroker,
    typed::{self, FieldError},
};

/// Why a text gives no manifests.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no YAML.
    #[error("{0}")]
    Yaml(String),
    /// A StompBroker has a field of the wrong shape.
    #[error("{name}: {field}: {problem}")]
    Field {
        /// `metadata.name` of the manifest.
        name: String,
        /// Path of the field.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// A StompBroker has a field that there is none of.
    #[error("{name}: {field}: there is no such field; correct its name or remove it")]
    UnknownField {
        /// `metadata.name` of the manifest.
        name: String,
        /// Path of the field.
        field: String,
    },
}

/// The text of a file of manifests; `-` is the standard input.
///
/// # Errors
/// When it cannot be read.
pub fn read_manifests(file: &Path) -> io::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    fs::read_to_string(file)
}

/// The StompBrokers among the documents of a YAML stream.
///
/// # Errors
/// Names the first field that cannot be read or does not exist.
pub fn brokers(text: &str) -> Result<Vec<StompBroker>, ManifestError> {
    documents(text)?.into_iter().filter(is_broker).map(broker).collect()
}

/// The values of the Secrets among the documents of a YAML stream, by name and key.
///
/// # Errors
/// Names the first Secret that cannot be read, and never one of its values.
pub(super) fn secrets(text: &str) -> Result<BTreeMap<String, BTreeMap<String, Vec<u8>>>, ManifestError> {
    let documents = documents(text)?.into_iter();
    documents.filter(|document| document.get("kind").and_then(Value::as_str) == Some("Secret")).map(secret).collect()
}

fn documents(text: &str) -> Result<Vec<Value>, ManifestError> {
    serde_saphyr::from_multiple(text).map_err(|error| ManifestError::Yaml(error.without_snippet().to_string()))
}

fn secret(document: Value) -> Result<(String, BTreeMap<String, Vec<u8>>), ManifestError> {
    let name = name(&document);
    let secret: Secret = serde_json::from_value(document).map_err(|_| ManifestError::Field {
        name: name.clone(),
        field: "data".to_owned(),
        problem: "the Secret cannot be read; data holds values in base64, stringData holds them as they are".to_owned(),
    })?;
    let data = secret.data.into_iter().flatten().map(|(key, value)| (key, value.0));
    let text = secret.string_data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
    Ok((name, data.chain(text).collect()))
}

fn name(document: &Value) -> String {
    document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("(no name)").to_owned()
}

fn is_broker(document: &Value) -> bool {
    let group = |version: &str| version.starts_with("stompbroker.dev/");
    document.get("kind").and_then(Value::as_str) == Some("StompBroker")
        && document.get("apiVersion").and_then(Value::as_str).is_some_and(group)
}

fn broker(mut document: Value) -> Result<StompBroker, ManifestError> {
    let name = name(&document);
    if let Value::Object(fields) = &mut document {
        fields.entry("spec").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    let broker: StompBroker = typed::read(&document).map_err(|FieldError { field, problem }| ManifestError::Field {
        name: name.clone(),
        field,
        problem,
    })?;
    let known = serde_json::to_value(&broker).unwrap_or_default();
    match unknown_field("", &document, &known) {
        Some(field) => Err(ManifestError::UnknownField { name, field }),
        None => Ok(broker),
    }
}

/// The first field of `written` that was lost in reading. What is empty or null may be left out when it is written again.
fn unknown_field(path: &str, written: &Value, known: &Value) -> Option<String> {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => written.iter().find_map(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match known.get(name) {
                Some(known) => unknown_field(&path, value, known),
                None => (!is_empty(value)).then_some(path),
            }
        }),
        (Value::Array(written), Value::Array(known)) => written
            .iter()
            .zip(known)
            .enumerate()
            .find_map(|(index, (value, known))| unknown_field(&format!("{path}[{index}]"), value, known)),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(spec: &str) -> String {
        format!("apiVersion: stompbroker.dev/v1alpha1\nkind: StompBroker\nmetadata: {{name: trading}}\nspec: {spec}\n")
    }

    #[test]
    fn other_documents_of_the_stream_are_left_alone() {
        let text = format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n---\n{}", manifest("{}"));
        let names: Vec<_> = brokers(&text).unwrap().into_iter().map(|broker| broker.metadata.name).collect();
        assert_eq!(names, [Some("trading".to_owned())]);
    }

    #[test]
    fn a_misspelled_field_is_named_with_its_path() {
        let error = brokers(&manifest("{zones: [{name: a}, {name: b, replica: 2}]}")).unwrap_err().to_string();
        assert_eq!(error, "trading: spec.zones[1].replica: there is no such field; correct its name or remove it");
        assert!(brokers(&manifest("{zones: [], autoscaling: null}")).is_ok());
    }

    #[test]
    fn a_value_of_the_wrong_shape_is_named_with_its_path() {
        let error = brokers(&manifest("{drain: {deadline: 5 minutes}}")).unwrap_err().to_string();
        assert!(error.starts_with("trading: spec.drain.deadline: ") && error.contains("\"5 minutes\""), "{error}");
    }
}
