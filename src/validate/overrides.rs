//! Patches as far as they can be checked without the objects; `plan` refuses the rest.

use json_patch::{AddOperation, RemoveOperation, ReplaceOperation, TestOperation, jsonptr::PointerBuf};

use super::SpecError;
use crate::api::{OverrideKind, OverrideTarget, PatchOperation, PatchVerb, StompBroker};

/// A patch that is well formed.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// Its path in the spec.
    pub field: String,
    /// The objects that it is for.
    pub target: OverrideTarget,
    /// Its operations.
    pub operations: Vec<Operation>,
}

impl Override {
    /// Whether it is for the object of this kind and name.
    pub(crate) fn is_for(&self, kind: OverrideKind, name: &str) -> bool {
        self.target.kind == kind && self.target.name.as_ref().is_none_or(|wanted| wanted == name)
    }
}

/// One operation of a patch.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its path in the spec.
    pub field: String,
    /// As the user wrote it.
    pub written: PatchOperation,
    /// What it does.
    pub patch: json_patch::PatchOperation,
}

/// The patches of `broker`.
pub(super) fn overrides(broker: &StompBroker, errors: &mut Vec<SpecError>) -> Vec<Override> {
    let zoned = !broker.spec.zones.is_empty();
    let mut overrides = Vec::with_capacity(broker.spec.overrides.len());
    for (index, written) in broker.spec.overrides.iter().enumerate() {
        let target = &written.target;
        let mut operations = Vec::with_capacity(written.patch.len());
        for (place, written) in written.patch.iter().enumerate() {
            let field = format!("spec.overrides[{index}].patch[{place}]");
            let of_one_zone = zoned && target.kind == OverrideKind::Deployment && target.name.is_some();
            let parsed = if of_one_zone && written.is_of_template() {
                Err("the pods of all zones are made alike; leave target.name out".to_owned())
            } else {
                parse(written)
            };
            match parsed {
                Ok(patch) => operations.push(Operation { field, written: written.clone(), patch }),
                Err(remedy) => errors.push(SpecError::refused_override(field, written, remedy)),
            }
        }
        overrides.push(Override { field: format!("spec.overrides[{index}]"), target: target.clone(), operations });
    }
    overrides
}

fn parse(written: &PatchOperation) -> Result<json_patch::PatchOperation, String> {
    let path = PointerBuf::parse(written.path.as_str()).ok().filter(|path| !path.is_root()).ok_or_else(|| {
        "the path is no JSON Pointer; write for example /metadata/annotations/example.com~1team".to_owned()
    })?;
    let value = || written.value.clone().ok_or_else(|| "it has no value; set value, or use remove".to_owned());
    Ok(match written.op {
        PatchVerb::Add => json_patch::PatchOperation::Add(AddOperation { path, value: value()? }),
        PatchVerb::Remove => json_patch::PatchOperation::Remove(RemoveOperation { path }),
        PatchVerb::Replace => json_patch::PatchOperation::Replace(ReplaceOperation { path, value: value()? }),
        PatchVerb::Test => json_patch::PatchOperation::Test(TestOperation { path, value: value()? }),
    })
}
