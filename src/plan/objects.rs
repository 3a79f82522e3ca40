//! The desired objects of one broker.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount},
        networking::v1::{Ingress, NetworkPolicy},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::Serialize;

use super::{
    LoginSecret, Origin, ScaledObject,
    certificate::Certificate,
    gateway::{Http, Route, Tls, TlsAlpha},
    nats::{self, NatsSecret},
};
use crate::validate::LOGIN_KEYS;

/// The desired objects of one broker, by kind.
///
/// Destructure it without `..`: a kind that is added here must not be forgotten by apply, prune or render.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// The pods' identity; without a token.
    pub service_accounts: Vec<ServiceAccount>,
    /// Secrets of logins.
    pub logins: Vec<LoginSecret>,
    /// Secrets whose values are made once.
    pub secrets: Vec<GeneratedSecret>,
    /// Secrets of NATS servers.
    pub nats_secrets: Vec<NatsSecret>,
    /// Certificates that cert-manager is to issue.
    pub certificates: Vec<Certificate>,
    /// What pods keep over restarts; never deleted.
    pub persistent_volume_claims: Vec<PersistentVolumeClaim>,
    /// One `broker.yaml` for each pool.
    pub config_maps: Vec<ConfigMap>,
    /// Where clients connect.
    pub services: Vec<Service>,
    /// How browsers come into the cluster.
    pub ingresses: Vec<Ingress>,
    /// The same by Gateway API.
    pub http_routes: Vec<Route<Http>>,
    /// How STOMP over TLS comes into the cluster.
    pub tls_routes: Vec<Route<Tls>>,
    /// The same where only the older version of the kind is known.
    pub tls_alpha_routes: Vec<Route<TlsAlpha>>,
    /// Who may connect to the pods, and to whom they may connect.
    pub network_policies: Vec<NetworkPolicy>,
    /// How many pods may be evicted at once.
    pub pod_disruption_budgets: Vec<PodDisruptionBudget>,
    /// NATS servers, one StatefulSet for each zone.
    pub stateful_sets: Vec<StatefulSet>,
    /// The pods, one Deployment for each pool.
    pub deployments: Vec<Deployment>,
    /// The pools' sizes, when autoscaled by the API server.
    pub horizontal_pod_autoscalers: Vec<HorizontalPodAutoscaler>,
    /// The pools' sizes, when autoscaled by KEDA.
    pub scaled_objects: Vec<ScaledObject>,
}

/// A Secret whose values are random: made when the Secret is created, and never again.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratedSecret {
    /// Name, namespace, labels and owner.
    pub metadata: ObjectMeta,
    /// Keys whose values are random.
    pub random: Vec<&'static str>,
}

/// An object that has no YAML form.
#[derive(Debug, thiserror::Error)]
#[error("failed to write an object as YAML")]
pub struct RenderError(#[from] serde_saphyr::ser::Error);

impl Objects {
    /// All objects as a YAML stream in the order in which they are applied; the same objects always give the same octets.
    /// Random values are left out, and a comment says which.
    ///
    /// # Errors
    /// When an object has no YAML form, which none has that a plan makes.
    pub fn to_yaml(&self) -> Result<String, RenderError> {
        let Self {
            service_accounts,
            logins,
            secrets,
            nats_secrets,
            certificates,
            persistent_volume_claims,
            config_maps,
            services,
            ingresses,
            http_routes,
            tls_routes,
            tls_alpha_routes,
            network_policies,
            pod_disruption_budgets,
            stateful_sets,
            deployments,
            horizontal_pod_autoscalers,
            scaled_objects,
        } = self;
        let mut text = String::new();
        write_all(&mut text, service_accounts)?;
        for login in logins {
            write(&mut text, &login.without_secrets())?;
            match &login.origin {
                Origin::Generated { .. } => text.push_str("# password: random, made when the Secret is created\n"),
                Origin::Copied { secret_name } => {
                    text.extend(["# username, password: what Secret ", secret_name, " has\n"]);
                }
            }
            text.push_str("# uri: all of it in one\n");
        }
        for secret in secrets {
            write(&mut text, &secret.without_values())?;
            for key in &secret.random {
                text.extend(["# ", key, ": random, made when the Secret is created\n"]);
            }
        }
        for secret in nats_secrets {
            write(&mut text, &secret.without_values())?;
            for key in nats::SECRET_KEYS {
                text.extend(["# ", key, ": made with the Secret\n"]);
            }
        }
        write_all(&mut text, certificates)?;
        write_all(&mut text, persistent_volume_claims)?;
        write_all(&mut text, config_maps)?;
        write_all(&mut text, services)?;
        write_all(&mut text, ingresses)?;
        write_all(&mut text, http_routes)?;
        write_all(&mut text, tls_routes)?;
        write_all(&mut text, tls_alpha_routes)?;
        write_all(&mut text, network_policies)?;
        write_all(&mut text, pod_disruption_budgets)?;
        write_all(&mut text, stateful_sets)?;
        write_all(&mut text, deployments)?;
        write_all(&mut text, horizontal_pod_autoscalers)?;
        write_all(&mut text, scaled_objects)?;
        Ok(text)
    }
}

impl GeneratedSecret {
    /// The Secret without its values.
    pub fn without_values(&self) -> Secret {
        opaque(&self.metadata)
    }
}

impl NatsSecret {
    /// The Secret without its values.
    pub fn without_values(&self) -> Secret {
        opaque(&self.metadata)
    }
}

fn opaque(metadata: &ObjectMeta) -> Secret {
    Secret { metadata: metadata.clone(), type_: Some("Opaque".to_owned()), ..Secret::default() }
}

impl LoginSecret {
    /// The Secret with the values that are no secrets.
    pub fn without_secrets(&self) -> Secret {
        let mut values = self.fixed.clone();
        if let Origin::Generated { username } = self.origin {
            values.insert(LOGIN_KEYS[0].to_owned(), username.to_owned());
        }
        Secret {
            metadata: self.metadata.clone(),
            type_: Some(self.type_.clone()),
            string_data: Some(values),
            ..Secret::default()
        }
    }
}

fn write_all<K: Serialize>(text: &mut String, objects: &[K]) -> Result<(), RenderError> {
    objects.iter().try_for_each(|object| write(text, object))
}

fn write<K: Serialize>(text: &mut String, object: &K) -> Result<(), RenderError> {
    text.push_str("---\n");
    let yaml = serde_saphyr::to_string(object)?;
    text.push_str(yaml.trim_end_matches('\n'));
    text.push('\n');
    Ok(())
}
