//! Pod templates and their workloads.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    container::Container,
    node::{at, list, place, text},
};

/// A pod template.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pod<'a> {
    /// The StatefulSet, Deployment or Job that has the template.
    pub(super) owner: &'a Value,
}

impl<'a> Pod<'a> {
    pub(super) fn new(owner: &'a Value) -> Self {
        Self { owner }
    }

    pub(super) fn place(&self) -> String {
        place(self.owner)
    }

    pub(super) fn kind(&self) -> &'a str {
        text(self.owner, "/kind")
    }

    pub(super) fn labels(&self) -> &'a Value {
        at(self.owner, "/spec/template/metadata/labels")
    }

    pub(super) fn spec(&self) -> &'a Value {
        at(self.owner, "/spec/template/spec")
    }

    pub(super) fn containers(&self) -> Vec<Container<'a>> {
        let pod = *self;
        ["/initContainers", "/containers"]
            .iter()
            .flat_map(|part| list(self.spec(), part))
            .map(|value| Container { pod, value })
            .collect()
    }

    /// Returns its volumes by their names. Claim templates become claims.
    pub(super) fn volumes(&self) -> BTreeMap<&'a str, Value> {
        let own = list(self.spec(), "/volumes")
            .iter()
            .map(|volume| (text(volume, "/name"), volume.clone()));
        let claims = list(self.owner, "/spec/volumeClaimTemplates").iter();
        own.chain(
            claims.map(|claim| {
                (text(claim, "/metadata/name"), json!({ "persistentVolumeClaim": {} }))
            }),
        )
        .collect()
    }

    /// Returns the number of a named port.
    pub(super) fn port(&self, name: &str) -> Option<u64> {
        self.containers().iter().find_map(|container| container.port(name))
    }
}
