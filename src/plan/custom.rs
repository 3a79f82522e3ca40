//! Objects of Gateway API, cert-manager and KEDA, whose kinds not every cluster has. What they are to do is typed while it is made,
//! and plain JSON from then on: patches add fields that we never write, and those are written, compared and told like all others.

use std::{borrow::Cow, fmt, marker::PhantomData};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, core::NamespaceResourceScope};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// A kind of custom objects, in one version.
pub trait CustomKind: Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// Group of the API.
    const GROUP: &'static str;
    /// Version of the API.
    const VERSION: &'static str;
    /// Name of the kind.
    const KIND: &'static str;
    /// Its plural.
    const PLURAL: &'static str;

    /// What its controller says, as far as we read it.
    type Status: Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;
}

/// A custom object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound = "")]
pub struct CustomObject<K: CustomKind> {
    api_version: String,
    kind: String,
    /// Name, namespace, labels and owner.
    pub metadata: ObjectMeta,
    /// What it is to do.
    #[serde(default)]
    pub spec: Value,
    /// What its controller says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<K::Status>,
    #[serde(skip)]
    of: PhantomData<K>,
}

/// What a controller says that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {}

impl<K: CustomKind> CustomObject<K> {
    /// An object that is to do what `spec` says.
    pub(super) fn new(metadata: ObjectMeta, spec: &impl Serialize) -> Self {
        Self {
            api_version: Self::api_version(&()).into_owned(),
            kind: K::KIND.to_owned(),
            metadata,
            spec: json!(spec),
            status: None,
            of: PhantomData,
        }
    }
}

impl<K: CustomKind> Resource for CustomObject<K> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        K::GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        K::VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
