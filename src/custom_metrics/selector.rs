//! The text form of label selectors (pure), as in `kubectl -l`.

use kube::core::{Expression, Selector};

/// A text that is no selector.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("labelSelector has {0:?}, which is no requirement; write for example app=a, app!=a, app in (a,b), app or !app")]
pub(super) struct SelectorError(String);

/// The selector in `text`; empty for all.
pub(super) fn parse(text: &str) -> Result<Selector, SelectorError> {
    requirements(text).into_iter().filter(|part| !part.is_empty()).map(requirement).collect()
}

/// The parts between commas that are in no parentheses.
fn requirements(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .map(str::trim)
    .collect()
}

fn requirement(text: &str) -> Result<Expression, SelectorError> {
    let key = |key: &str| {
        let key = key.trim();
        let good = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if !key.is_empty() && key.chars().all(good) { Ok(key.to_owned()) } else { Err(SelectorError(text.to_owned())) }
    };
    let set = |values: &str| {
        let inner = values.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        let inner = inner.ok_or_else(|| SelectorError(text.to_owned()))?;
        Ok(inner.split(',').map(|value| value.trim().to_owned()).collect())
    };
    if let Some((left, right)) = text.split_once("!=") {
        return Ok(Expression::NotEqual(key(left)?, right.trim().to_owned()));
    }
    if let Some((left, right)) = text.split_once('=') {
        return Ok(Expression::Equal(key(left)?, right.trim_start_matches('=').trim().to_owned()));
    }
    if let Some((left, right)) = text.split_once(" notin ") {
        return Ok(Expression::NotIn(key(left)?, set(right)?));
    }
    if let Some((left, right)) = text.split_once(" in ") {
        return Ok(Expression::In(key(left)?, set(right)?));
    }
    match text.strip_prefix('!') {
        Some(absent) => Ok(Expression::DoesNotExist(key(absent)?)),
        None => Ok(Expression::Exists(key(text)?)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::core::SelectorExt as _;

    use super::*;

    #[test]
    fn every_form_of_a_requirement_selects_what_kubectl_would_select() {
        let labels = BTreeMap::from([("app.kubernetes.io/name", "a"), ("zone", "")]);
        let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        for (text, selected) in [
            ("", true),
            ("app.kubernetes.io/name=a,zone=", true),
            ("app.kubernetes.io/name==a", true),
            ("app.kubernetes.io/name=b", false),
            ("app.kubernetes.io/name!=b", true),
            ("app.kubernetes.io/name in (b, a),zone", true),
            ("app.kubernetes.io/name notin (a,b)", false),
            ("!zone", false),
            ("!other", true),
        ] {
            assert_eq!(parse(text).unwrap().matches(&labels), selected, "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_by_name() {
        for text in ["=a", "a in b", "a b", "a,(b"] {
            assert!(parse(text).unwrap_err().to_string().contains("app in (a,b)"), "{text}");
        }
    }
}
