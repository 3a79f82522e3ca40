//! What a pod of the broker would find around it (pure): `local` does for its own process what the kubelet does for a pod.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::{Container, KeyToPath, PodSpec, ProjectedVolumeSource, Volume, VolumeProjection};
use serde_json::Value;
use stompbroker_config::{Config, GoDuration};

use super::LocalError;
use crate::plan::{Plan, names};

/// The values of Secrets by name and key.
pub(super) type Secrets = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// What to put where, and what to start.
pub(super) struct Pod {
    /// Contents of files by absolute path.
    pub(super) files: BTreeMap<PathBuf, Vec<u8>>,
    /// Folders that must exist: one for each volume.
    pub(super) folders: Vec<PathBuf>,
    /// The command line of the broker.
    pub(super) args: Vec<String>,
    /// The configuration, with local paths.
    pub(super) config: Config,
}

impl Pod {
    /// The first pool's pod, with all that it mounts below `root`.
    ///
    /// # Errors
    /// When a Secret lacks what the pod mounts, or the plan has no pod.
    pub(super) fn new(plan: &Plan, secrets: &Secrets, admin_port: u16, root: &Path) -> Result<Self, LocalError> {
        let pod = plan.objects.deployments.first().and_then(|deployment| deployment.spec.as_ref());
        let pod = pod.and_then(|spec| spec.template.spec.as_ref()).ok_or(LocalError::NoPod)?;
        let container = pod.containers.first().ok_or(LocalError::NoPod)?;
        let mounts = Mounts::new(container, root);
        let mut files = BTreeMap::new();
        for (volume, folder) in mounts.volumes(pod) {
            for (path, content) in contents(volume.projected.as_ref(), plan, secrets)? {
                files.insert(folder.join(path), content);
            }
        }
        let file = mounts.local(&format!("{}/{}", names::MOUNT_PATH, names::CONFIG_KEY));
        let mut config = localize(files.get(&file).map(Vec::as_slice).unwrap_or_default(), &mounts)?;
        config.admin.port = admin_port;
        files.insert(file, config.to_yaml().map_err(LocalError::Config)?.into_bytes());
        let args = container.args.iter().flatten().map(|argument| mounts.localize(argument)).collect();
        Ok(Self { files, folders: mounts.0.into_values().collect(), args, config })
    }
}

/// Where each path of the pod is here.
struct Mounts(BTreeMap<String, PathBuf>);

impl Mounts {
    fn new(container: &Container, root: &Path) -> Self {
        let mounts = container.volume_mounts.iter().flatten();
        Self(mounts.map(|mount| (mount.mount_path.clone(), root.join(&mount.name))).collect())
    }

    fn volumes<'a>(&'a self, pod: &'a PodSpec) -> impl Iterator<Item = (&'a Volume, &'a PathBuf)> {
        let folder = |volume: &Volume| self.0.values().find(|folder| folder.ends_with(&volume.name));
        pod.volumes.iter().flatten().filter_map(move |volume| Some((volume, folder(volume)?)))
    }

    /// `path` as it is here; unchanged when nothing is mounted there.
    fn local(&self, path: &str) -> PathBuf {
        let within = |(mount, folder): (&String, &PathBuf)| {
            Path::new(path).strip_prefix(mount).ok().map(|rest| folder.join(rest))
        };
        self.0.iter().find_map(within).unwrap_or_else(|| PathBuf::from(path))
    }

    /// An argument such as `--config=/etc/...` with the path as it is here.
    fn localize(&self, argument: &str) -> String {
        match argument.split_once('=') {
            Some((flag, path)) => format!("{flag}={}", self.local(path).display()),
            None => argument.to_owned(),
        }
    }
}

/// The configuration with local paths. There is no load balancer to wait for, so a stop is not delayed, and no other pod.
fn localize(yaml: &[u8], mounts: &Mounts) -> Result<Config, LocalError> {
    let config = Config::parse(&String::from_utf8_lossy(yaml)).map_err(LocalError::Config)?;
    let mut value = serde_json::to_value(&config)?;
    localize_value(&mut value, mounts);
    let mut config: Config = serde_json::from_value(value)?;
    config.drain.delay = GoDuration::from_secs(0);
    config.peers = None;
    Ok(config)
}

fn localize_value(value: &mut Value, mounts: &Mounts) {
    match value {
        Value::String(text) if text.starts_with('/') => *text = mounts.local(text).display().to_string(),
        Value::Array(items) => items.iter_mut().for_each(|item| localize_value(item, mounts)),
        Value::Object(fields) => fields.values_mut().for_each(|field| localize_value(field, mounts)),
        _ => {}
    }
}

/// The files of a projected volume, by their paths in it.
fn contents(
    projected: Option<&ProjectedVolumeSource>,
    plan: &Plan,
    secrets: &Secrets,
) -> Result<Vec<(PathBuf, Vec<u8>)>, LocalError> {
    let mut files = Vec::new();
    for VolumeProjection { config_map, secret, .. } in
        projected.and_then(|source| source.sources.as_ref()).into_iter().flatten()
    {
        if let Some(source) = config_map {
            let named = |map: &&k8s_openapi::api::core::v1::ConfigMap| map.metadata.name.as_ref() == Some(&source.name);
            let data = plan.objects.config_maps.iter().find(named).and_then(|map| map.data.as_ref());
            let get = |key: &String| data.and_then(|data| data.get(key)).map(|text| text.clone().into_bytes());
            files.extend(items(&source.name, source.items.as_ref(), source.optional, get)?);
        }
        if let Some(source) = secret {
            let get = |key: &String| secrets.get(&source.name).and_then(|values| values.get(key)).cloned();
            files.extend(items(&source.name, source.items.as_ref(), source.optional, get)?);
        }
    }
    Ok(files)
}

fn items(
    name: &str,
    items: Option<&Vec<KeyToPath>>,
    optional: Option<bool>,
    get: impl Fn(&String) -> Option<Vec<u8>>,
) -> Result<Vec<(PathBuf, Vec<u8>)>, LocalError> {
    let mut files = Vec::new();
    for KeyToPath { key, path, .. } in items.into_iter().flatten() {
        match get(key) {
            Some(content) => files.push((PathBuf::from(path), content)),
            None if optional == Some(true) => {}
            None => return Err(LocalError::SecretKeyMissing { name: name.to_owned(), key: key.clone() }),
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::brokers, observed::Observed, plan, validate::validate};

    fn plan_of(spec: &str) -> Plan {
        let text = format!(
            "apiVersion: stompbroker.dev/v1alpha1\nkind: StompBroker\nmetadata: {{name: trading}}\nspec: {spec}\n"
        );
        let settings = plan::Settings {
            image: String::new(),
            nats_image: String::new(),
            operator_namespace: String::new(),
            cluster_domain: "cluster.local".to_owned(),
            custom_metrics: true,
        };
        let validated = validate(&brokers(&text).unwrap().remove(0), &Observed::default()).unwrap();
        plan::plan(&validated, &Observed::default(), &settings).unwrap()
    }

    fn generated(plan: &Plan) -> Secrets {
        let random = |key: &str| (key.to_owned(), format!("random {key}").into_bytes());
        let logins = plan.objects.logins.iter().map(|login| {
            let plan::Origin::Generated { username } = login.origin else { panic!("{login:?}") };
            let values = [("username".to_owned(), username.as_bytes().to_vec()), random("password")];
            (login.metadata.name.clone().unwrap(), values.into())
        });
        let secrets = plan.objects.secrets.iter().map(|secret| {
            (secret.metadata.name.clone().unwrap(), secret.random.iter().map(|key| random(key)).collect())
        });
        logins.chain(secrets).collect()
    }

    #[test]
    fn the_configuration_names_files_that_are_written() {
        let plan = plan_of("{}");
        let pod = Pod::new(&plan, &generated(&plan), 7000, Path::new("/home/me/state")).ok().unwrap();
        let system = pod.config.credentials.system.unwrap().directory;
        assert!(system.starts_with("/home/me/state"), "{system:?}");
        assert_eq!(pod.files[&system.join("username")], b"system");
        assert_eq!(pod.files[&system.join("password")], b"random password");
        assert_eq!(pod.files[&pod.config.admin.token_file.unwrap()], b"random token");
        let argument = pod.args.iter().find_map(|argument| argument.strip_prefix("--config=")).unwrap();
        let written = String::from_utf8(pod.files[Path::new(argument)].clone()).unwrap();
        assert_eq!(Config::parse(&written).unwrap().admin.port, 7000);
    }

    #[test]
    fn a_secret_without_a_key_that_the_pod_mounts_is_named() {
        let plan = plan_of("{}");
        let mut secrets = generated(&plan);
        secrets.get_mut("trading-client").unwrap().remove("password");
        let error = Pod::new(&plan, &secrets, 7000, Path::new("/state")).err().unwrap().to_string();
        assert_eq!(error, "trading-client has no value for the key password; add it to the Secret in the file");
    }
}
