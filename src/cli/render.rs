//! `stompbroker-operator render`

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{ManifestError, brokers, manifest::read_manifests};
use crate::{
    api::StompBroker,
    observed::Observed,
    plan::{self, PlanError, Settings},
    validate::{SpecError, validate},
};

/// Arguments of `stompbroker-operator render`.
#[derive(Clone, Debug, clap::Args)]
pub struct RenderArgs {
    /// Manifests to read; - is standard input. May be given several times.
    #[arg(long = "filename", short = 'f', value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Namespace of manifests that name none.
    #[arg(long, short = 'n', default_value = "default")]
    pub namespace: String,
    /// Broker image of manifests that name none.
    #[arg(long, env = "STOMPBROKER_BROKER_IMAGE", default_value = concat!("stompbroker:", env!("CARGO_PKG_VERSION")))]
    pub broker_image: String,
    /// NATS image of manifests that leave NATS to the operator and name none.
    #[arg(long, env = "STOMPBROKER_NATS_IMAGE", default_value = crate::settings::NATS_IMAGE)]
    pub nats_image: String,
    /// Namespace that the operator runs in, for the NetworkPolicy.
    #[arg(long, env = "STOMPBROKER_NAMESPACE", default_value = "stompbroker-system")]
    pub operator_namespace: String,
    /// DNS domain of the cluster.
    #[arg(long, env = "STOMPBROKER_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Whether the operator serves custom metrics, so that autoscalers look at sessions and message rates.
    #[arg(long, env = "STOMPBROKER_CUSTOM_METRICS")]
    pub custom_metrics: bool,
}

/// Why nothing was rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A file cannot be read.
    #[error("failed to read {}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds something that is no manifest.
    #[error("failed to parse {}", file.display())]
    Manifest {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        source: ManifestError,
    },
    /// A file holds no StompBroker.
    #[error("{} holds no StompBroker of apiVersion stompbroker.dev/v1alpha1", file.display())]
    NoBroker {
        /// Which file.
        file: PathBuf,
    },
    /// A spec cannot be put into effect.
    #[error("{}: {name}: {}", file.display(), errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Refused {
        /// Which file.
        file: PathBuf,
        /// Which broker.
        name: String,
        /// What is wrong with it.
        errors: Vec<SpecError>,
    },
    /// There is no plan.
    #[error("failed to plan the objects of {name}")]
    Plan {
        /// Which broker.
        name: String,
        /// Why.
        #[source]
        source: PlanError,
    },
    /// The objects have no YAML form.
    #[error("failed to write the objects")]
    Serialize(#[from] plan::RenderError),
    /// They cannot be printed.
    #[error("failed to write to standard output")]
    Write(#[source] io::Error),
}

/// Prints the objects that the manifests lead to, all or none.
///
/// # Errors
/// Names the file, the broker and what is wrong with it.
pub fn render(args: &RenderArgs, out: &mut impl io::Write) -> Result<(), RenderError> {
    let settings = Settings {
        image: args.broker_image.clone(),
        nats_image: args.nats_image.clone(),
        operator_namespace: args.operator_namespace.clone(),
        cluster_domain: args.cluster_domain.clone(),
        custom_metrics: args.custom_metrics,
    };
    let mut text = String::new();
    for file in &args.files {
        let manifests = read_manifests(file).map_err(|source| RenderError::Read { file: file.clone(), source })?;
        let brokers = brokers(&manifests).map_err(|source| RenderError::Manifest { file: file.clone(), source })?;
        if brokers.is_empty() {
            return Err(RenderError::NoBroker { file: file.clone() });
        }
        for mut broker in brokers {
            broker.metadata.namespace.get_or_insert_with(|| args.namespace.clone());
            text.push_str(&objects(file, &broker, &settings)?);
        }
    }
    out.write_all(text.as_bytes()).map_err(RenderError::Write)
}

fn objects(file: &Path, broker: &StompBroker, settings: &Settings) -> Result<String, RenderError> {
    let name = broker.metadata.name.clone().unwrap_or_default();
    let observed = Observed::assuming_references(broker);
    let validated = validate(broker, &observed).map_err(|errors| RenderError::Refused {
        file: file.to_owned(),
        name: name.clone(),
        errors,
    })?;
    let plan = plan::plan(&validated, &observed, settings).map_err(|source| match source {
        PlanError::Overrides(errors) => RenderError::Refused { file: file.to_owned(), name, errors },
        source => RenderError::Plan { name, source },
    })?;
    Ok(plan.objects.to_yaml()?)
}
