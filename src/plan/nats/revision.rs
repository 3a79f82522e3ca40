//! Which template the pods of a StatefulSet are to have: a new one only when the user, or the Secret, wants other pods than
//! when the one before was made. A newer operator that makes pods otherwise waits for that, or for its window.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde::{Deserialize, Serialize};

use super::config;
use crate::{
    api::{ManagedNats, OverrideKind, PatchOperation, UpgradePolicy},
    observed::{Observed, StatefulSetView},
    plan::{PlanError, overrides, window},
    validate::ValidatedBroker,
};

/// All that a template is made from, but for the operator and its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wish {
    managed: ManagedNats,
    max_payload: u64,
    image_pull_secrets: Vec<String>,
    /// See [`super::RENEWAL_KEY`].
    pub(super) renewal: String,
    /// Patches of the template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    overrides: Vec<PatchOperation>,
}

/// The content of the annotation [`crate::plan::REVISION`] of a StatefulSet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Revision {
    wish: Wish,
    template: PodTemplateSpec,
}

impl Wish {
    pub(super) fn new(broker: &ValidatedBroker, managed: &ManagedNats, renewal: &str) -> Self {
        Self {
            managed: managed.clone(),
            max_payload: config::max_payload(broker),
            image_pull_secrets: broker.image_pull_secrets.clone(),
            renewal: renewal.to_owned(),
            overrides: Vec::new(),
        }
    }

    /// The same for the StatefulSet of this name.
    pub(super) fn of(&self, broker: &ValidatedBroker, name: &str) -> Self {
        Self { overrides: overrides::on_template(broker, OverrideKind::StatefulSet, name), ..self.clone() }
    }
}

/// The template for `wish`, and the annotation to keep it in: those of `live` while nobody wants others.
pub(super) fn choose(
    wish: &Wish,
    live: Option<&StatefulSetView>,
    broker: &ValidatedBroker,
    observed: &Observed,
    fresh: impl FnOnce() -> Result<PodTemplateSpec, PlanError>,
) -> Result<(PodTemplateSpec, String), PlanError> {
    let spec = &broker.spec;
    let upgrade = spec.upgrade_policy == UpgradePolicy::Automatic
        || spec.maintenance_window.as_ref().is_some_and(|open| window::is_open(open, observed.now));
    let annotation = live.and_then(|live| live.revision.as_ref());
    let kept = annotation.and_then(|text| Some((serde_json::from_str::<Revision>(text).ok()?, text)));
    if let Some((kept, text)) = kept
        && kept.wish == *wish
        && !upgrade
    {
        return Ok((kept.template, text.clone()));
    }
    let template = fresh()?;
    let revision = Revision { wish: wish.clone(), template: template.clone() };
    Ok((template, serde_json::to_string(&revision).map_err(PlanError::Revision)?))
}
