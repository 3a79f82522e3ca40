//! What a request asks for (pure).

use http::{Method, Uri};

use super::{GROUP, VERSION};
use crate::{
    label_selector::{self, SelectorError},
    plan::{MESSAGES_PER_SECOND, SESSIONS},
};

/// Longest query that is looked at.
const QUERY: usize = 4096;

/// A metric of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Metric {
    /// Sessions that have logged in.
    Sessions,
    /// SEND frames in a second.
    MessagesPerSecond,
}

impl Metric {
    /// All that are served.
    pub(super) const ALL: [Self; 2] = [Self::Sessions, Self::MessagesPerSecond];

    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sessions => SESSIONS,
            Self::MessagesPerSecond => MESSAGES_PER_SECOND,
        }
    }
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Question {
    /// Which versions there are.
    Group,
    /// Which metrics there are.
    Resources,
    /// A metric of pods.
    Pods {
        namespace: String,
        /// One pod by its name, or those with certain labels.
        which: Which,
        metric: Metric,
    },
}

/// Which pods are meant.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Which {
    /// The one of this name.
    Named(String),
    /// Those with these labels.
    Selected(kube::core::Selector),
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QuestionError {
    /// There is nothing to change.
    #[error("the method {0} is not allowed, only GET is")]
    Method(String),
    /// There is no such path.
    #[error("there is no {0}; {GROUP}/{VERSION} has pods/{SESSIONS} and pods/{MESSAGES_PER_SECOND}")]
    Path(String),
    /// The labels cannot be read.
    #[error("failed to read labelSelector")]
    Selector(#[from] SelectorError),
    /// The metrics have no labels.
    #[error("metricLabelSelector is {0:?}, but the metrics have no labels; leave it out")]
    MetricSelector(String),
    /// A query that nobody needs.
    #[error("the query is longer than {QUERY} characters")]
    TooLong,
}

/// What this request asks for.
pub(super) fn parse(method: &Method, uri: &Uri) -> Result<Question, QuestionError> {
    if *method != Method::GET {
        return Err(QuestionError::Method(method.to_string()));
    }
    let unknown = || QuestionError::Path(uri.path().to_owned());
    let parts: Vec<_> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["apis", group] if *group == GROUP => Ok(Question::Group),
        ["apis", group, version] if (*group, *version) == (GROUP, VERSION) => Ok(Question::Resources),
        ["apis", group, version, "namespaces", namespace, "pods", name, metric]
            if (*group, *version) == (GROUP, VERSION) =>
        {
            let metric = Metric::ALL.into_iter().find(|known| known.name() == *metric).ok_or_else(unknown)?;
            let which = if matches!(*name, "*" | "%2A" | "%2a") {
                Which::Selected(selected(uri.query().unwrap_or_default())?)
            } else {
                Which::Named((*name).to_owned())
            };
            Ok(Question::Pods { namespace: (*namespace).to_owned(), which, metric })
        }
        _ => Err(unknown()),
    }
}

fn selected(query: &str) -> Result<kube::core::Selector, QuestionError> {
    if query.len() > QUERY {
        return Err(QuestionError::TooLong);
    }
    let mut selector = kube::core::Selector::default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "labelSelector" => selector = label_selector::parse(&value)?,
            "metricLabelSelector" if !value.is_empty() => {
                return Err(QuestionError::MetricSelector(value.into_owned()));
            }
            _ => {}
        }
    }
    Ok(selector)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(uri: &str) -> Result<Question, QuestionError> {
        parse(&Method::GET, &uri.parse().unwrap())
    }

    #[test]
    fn an_autoscaler_asks_for_all_pods_of_its_deployment() {
        let question = ask(
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/markets/pods/%2A/stompbroker_sessions?labelSelector=app%3Da%2Czone%3D",
        );
        let which = Which::Selected(label_selector::parse("app=a,zone=").unwrap());
        let expected = Question::Pods { namespace: "markets".to_owned(), which, metric: Metric::Sessions };
        assert_eq!(question, Ok(expected));
    }

    #[test]
    fn one_pod_can_be_asked_for() {
        let question = ask("/apis/custom.metrics.k8s.io/v1beta2/namespaces/m/pods/p-1/stompbroker_messages_per_second");
        let which = Which::Named("p-1".to_owned());
        assert_eq!(
            question,
            Ok(Question::Pods { namespace: "m".to_owned(), which, metric: Metric::MessagesPerSecond })
        );
    }

    #[test]
    fn discovery_is_answered() {
        assert_eq!(ask("/apis/custom.metrics.k8s.io"), Ok(Question::Group));
        assert_eq!(ask("/apis/custom.metrics.k8s.io/v1beta2"), Ok(Question::Resources));
    }

    #[test]
    fn whatever_else_is_asked_is_told_what_there_is() {
        for path in [
            "/apis",
            "/openapi/v2",
            "/apis/custom.metrics.k8s.io/v1beta1",
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/m/pods/*/cpu",
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/m/services/*/stompbroker_sessions",
        ] {
            let error = ask(path).unwrap_err();
            assert_eq!(error, QuestionError::Path(path.to_owned()));
            assert!(error.to_string().contains("stompbroker_sessions"), "{error}");
        }
        let post = parse(&Method::POST, &"/apis/custom.metrics.k8s.io".parse().unwrap());
        assert_eq!(post, Err(QuestionError::Method("POST".to_owned())));
        let labelled =
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/m/pods/*/stompbroker_sessions?metricLabelSelector=a%3Db";
        assert_eq!(ask(labelled), Err(QuestionError::MetricSelector("a=b".to_owned())));
    }
}
