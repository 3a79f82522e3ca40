//! Whether a user may get a metric: SubjectAccessReviews, whose answers are remembered for a while.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};
use parking_lot::Mutex;

use super::{GROUP, VERSION, front_proxy::User, question::Metric};

/// How long a yes is good for.
const YES: Duration = Duration::from_mins(1);
/// How long a no is good for.
const NO: Duration = Duration::from_secs(10);
/// Most answers that are remembered.
const ANSWERS: usize = 1024;

/// What a user wants to get.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Access {
    user: String,
    groups: Vec<String>,
    /// Absent: in all of them.
    namespace: Option<String>,
    metric: Metric,
}

/// Asks the API server, and remembers.
pub(super) struct Reviews {
    client: Client,
    answers: Mutex<HashMap<Access, (bool, Instant)>>,
}

impl Reviews {
    pub(super) fn new(client: Client) -> Self {
        Self { client, answers: Mutex::default() }
    }

    /// Whether `user` may get `metric` of the pods of `namespace`.
    pub(super) async fn allows(&self, user: &User, namespace: &str, metric: Metric) -> Result<bool, kube::Error> {
        // Autoscalers may everywhere: one question for all namespaces.
        Ok(self.ask(user, None, metric).await? || self.ask(user, Some(namespace), metric).await?)
    }

    async fn ask(&self, user: &User, namespace: Option<&str>, metric: Metric) -> Result<bool, kube::Error> {
        let access = Access {
            user: user.name.clone(),
            groups: user.groups.clone(),
            namespace: namespace.map(str::to_owned),
            metric,
        };
        if let Some(known) = self.known(&access) {
            return Ok(known);
        }
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.name.clone()),
                groups: (!user.groups.is_empty()).then(|| user.groups.clone()),
                extra: (!user.extra.is_empty()).then(|| user.extra.clone()),
                resource_attributes: Some(ResourceAttributes {
                    group: Some(GROUP.to_owned()),
                    version: Some(VERSION.to_owned()),
                    resource: Some("pods".to_owned()),
                    subresource: Some(metric.name().to_owned()),
                    verb: Some("get".to_owned()),
                    namespace: access.namespace.clone(),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = Api::all(self.client.clone()).create(&PostParams::default(), &review).await?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        self.remember(access, allowed);
        Ok(allowed)
    }

    fn known(&self, access: &Access) -> Option<bool> {
        let answers = self.answers.lock();
        let (allowed, since) = answers.get(access)?;
        let good_for = if *allowed { YES } else { NO };
        (since.elapsed() < good_for).then_some(*allowed)
    }

    fn remember(&self, access: Access, allowed: bool) {
        let mut answers = self.answers.lock();
        if answers.len() >= ANSWERS {
            answers.retain(|_, (_, since)| since.elapsed() < NO);
        }
        if answers.len() < ANSWERS {
            answers.insert(access, (allowed, Instant::now()));
        }
    }
}
