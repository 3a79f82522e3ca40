//! An object as the API server sends it, reduced to what is kept of it while it is read (pure).

use std::{borrow::Cow, fmt, marker::PhantomData};

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::shapes::Metadata;

/// What is read of a kind of objects.
pub(crate) trait Shape: DeserializeOwned {
    /// The kind.
    type Kind: Resource<DynamicType = (), Scope = NamespaceResourceScope>;
    /// What is kept.
    type Kept: Clone + fmt::Debug + Send + 'static;

    /// Its metadata.
    fn metadata(&self) -> &Metadata;

    /// What of its metadata is kept as such: namespace, name, UID and version, if nothing else is said.
    fn identity(&self) -> ObjectMeta {
        let metadata = self.metadata();
        ObjectMeta {
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            ..ObjectMeta::default()
        }
    }

    /// What is kept of it.
    fn kept(self) -> Self::Kept;
}

/// What is kept of an object, and which object it is.
pub(crate) struct Seen<S: Shape> {
    identity: ObjectMeta,
    pub(crate) kept: S::Kept,
    shape: PhantomData<fn() -> S>,
}

impl<'de, S: Shape> Deserialize<'de> for Seen<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shape = S::deserialize(deserializer)?;
        Ok(Self { identity: shape.identity(), kept: shape.kept(), shape: PhantomData })
    }
}

impl<S: Shape> Clone for Seen<S> {
    fn clone(&self) -> Self {
        Self { identity: self.identity.clone(), kept: self.kept.clone(), shape: PhantomData }
    }
}

impl<S: Shape> fmt::Debug for Seen<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kept.fmt(formatter)
    }
}

impl<S: Shape> Resource for Seen<S> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(kind: &()) -> Cow<'_, str> {
        S::Kind::kind(kind)
    }

    fn group(kind: &()) -> Cow<'_, str> {
        S::Kind::group(kind)
    }

    fn version(kind: &()) -> Cow<'_, str> {
        S::Kind::version(kind)
    }

    fn plural(kind: &()) -> Cow<'_, str> {
        S::Kind::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.identity
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.identity
    }
}
