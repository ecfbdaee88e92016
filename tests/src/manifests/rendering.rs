//! All documents of a rendered overlay.

use serde_json::Value;

use super::{
    node::{at, list, matches, text},
    pod::Pod,
};

/// Kinds that make pods.
const WORKLOADS: [&str; 3] = ["StatefulSet", "Deployment", "Job"];

/// The documents of an overlay, rendered.
#[derive(Debug, Clone)]
pub struct Rendering {
    documents: Vec<Value>,
}

impl Rendering {
    /// Reads the YAML that kustomize prints.
    ///
    /// # Errors
    /// If it is not YAML, or a document is not an object.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(yaml).map_err(|error| error.to_string())?;
        match documents.iter().find(|document| !document.is_object()) {
            Some(document) => Err(format!("a document is not an object: `{document}`")),
            None => Ok(Self { documents }),
        }
    }

    /// Returns all documents.
    pub fn documents(&self) -> &[Value] {
        &self.documents
    }

    /// Returns all documents for changes.
    pub fn documents_mut(&mut self) -> &mut [Value] {
        &mut self.documents
    }

    /// Finds the document of that kind and name.
    pub fn get(&self, kind: &str, name: &str) -> Option<&Value> {
        self.by_kind(kind).find(|document| text(document, "/metadata/name") == name)
    }

    /// Finds the documents of a kind.
    pub fn by_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.documents.iter().filter(move |document| text(document, "/kind") == kind)
    }

    pub(super) fn has(&self, kind: &str, name: &str) -> bool {
        self.get(kind, name).is_some()
    }

    /// Finds the pod templates of all workloads.
    pub(super) fn pods(&self) -> Vec<Pod<'_>> {
        WORKLOADS.iter().flat_map(|kind| self.by_kind(kind)).map(Pod::new).collect()
    }

    /// Finds the pods that a selector's `matchLabels` chooses.
    pub(super) fn selected(&self, match_labels: &Value) -> Vec<Pod<'_>> {
        self.pods().into_iter().filter(|pod| matches(pod.labels(), match_labels)).collect()
    }

    /// Finds the services that a selector's `matchLabels` chooses.
    pub(super) fn services(&self, match_labels: &Value) -> Vec<&Value> {
        self.by_kind("Service")
            .filter(|service| matches(at(service, "/metadata/labels"), match_labels))
            .collect()
    }

    /// Returns the namespace of all documents.
    pub(super) fn namespace(&self) -> &str {
        self.by_kind("Namespace").next().map_or("", |namespace| text(namespace, "/metadata/name"))
    }

    /// Whether a Secret or ConfigMap has a key.
    pub(super) fn has_key(&self, kind: &str, name: &str, key: &str) -> bool {
        self.get(kind, name).is_some_and(|document| {
            ["/data", "/stringData", "/binaryData"]
                .iter()
                .any(|part| at(document, part).get(key).is_some())
        })
    }

    /// Whether a Service has a port of that name or number.
    pub(super) fn has_port(service: &Value, is: impl Fn(&Value) -> bool) -> bool {
        list(service, "/spec/ports").iter().any(is)
    }
}
