//! Why a command ends without its result.

use std::{io, path::PathBuf};

use stompbroker_operator::{
    cli::ManifestError,
    plan::{PlanError, RenderError},
};

use crate::{admin::AdminError, bench::BenchError, cluster::ClusterError, rotate::RotateError, tail::TailError};

/// Why a command ends without its result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The cluster gave no answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A pod's admin port gave no answer.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Logins are not rotated.
    #[error(transparent)]
    Rotate(#[from] RotateError),
    /// Messages cannot be shown.
    #[error(transparent)]
    Tail(#[from] TailError),
    /// Nothing was measured.
    #[error(transparent)]
    Bench(#[from] BenchError),
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
        #[source]
        source: ManifestError,
    },
    /// A file holds no StompBroker, or several.
    #[error("{} holds {count} StompBrokers; give a file with exactly one", file.display())]
    NotOne {
        /// Which file.
        file: PathBuf,
        /// How many.
        count: usize,
    },
    /// The operator would refuse the manifest.
    #[error("{errors}")]
    Refused {
        /// What is wrong with it.
        errors: String,
    },
    /// There is no plan.
    #[error("failed to plan the objects")]
    Plan(#[from] PlanError),
    /// The objects have no YAML form.
    #[error("failed to write the objects")]
    Render(#[from] RenderError),
    /// No pod serves.
    #[error("no pod of {0} is ready; `kubectl stompbroker why {0}` tells what is in the way")]
    NoPod(String),
    /// No pod has the session.
    #[error("no pod of {broker} has a session {id}; it may have ended")]
    NoSession {
        /// The broker.
        broker: String,
        /// The session.
        id: String,
    },
    /// What was found has no JSON form.
    #[error("failed to write JSON")]
    Json(#[from] serde_json::Error),
    /// Standard output is closed.
    #[error("failed to write to standard output")]
    Write(#[from] io::Error),
}

impl Failure {
    /// Whether the user has to correct the input.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Manifest { .. } | Self::NotOne { .. } | Self::Refused { .. })
    }
}
