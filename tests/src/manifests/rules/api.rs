//! Kinds, their versions, names and namespaces.

use std::collections::BTreeSet;

use crate::manifests::{
    Rendering,
    finding::Findings,
    node::{at, place, text},
};

/// The expected version of each kind, and whether the kind belongs to a namespace.
const KINDS: [(&str, &str, bool); 19] = [
    ("Namespace", "v1", false),
    ("ServiceAccount", "v1", true),
    ("ConfigMap", "v1", true),
    ("Secret", "v1", true),
    ("Service", "v1", true),
    ("PersistentVolumeClaim", "v1", true),
    ("StatefulSet", "apps/v1", true),
    ("Deployment", "apps/v1", true),
    ("Job", "batch/v1", true),
    ("PodDisruptionBudget", "policy/v1", true),
    ("NetworkPolicy", "networking.k8s.io/v1", true),
    ("PriorityClass", "scheduling.k8s.io/v1", false),
    ("ResourceClaimTemplate", "resource.k8s.io/v1", true),
    ("ScaledObject", "keda.sh/v1alpha1", true),
    ("ServiceMonitor", "monitoring.coreos.com/v1", true),
    ("PrometheusRule", "monitoring.coreos.com/v1", true),
    ("ResourceFlavor", "kueue.x-k8s.io/v1beta2", false),
    ("ClusterQueue", "kueue.x-k8s.io/v1beta2", false),
    ("LocalQueue", "kueue.x-k8s.io/v1beta2", true),
];

pub(super) fn check(rendering: &Rendering, findings: &mut Findings) {
    let namespace = rendering.namespace();
    findings.ensure(
        rendering.by_kind("Namespace").count() == 1,
        "names",
        "all",
        "there must be one Namespace",
    );
    let mut seen = BTreeSet::new();
    for document in rendering.documents() {
        let (place, kind) = (place(document), text(document, "/kind"));
        findings.ensure(seen.insert(place.clone()), "names", &place, "it stands there twice");
        let version = text(document, "/apiVersion");
        let Some((_, expected, namespaced)) = KINDS.iter().find(|(name, ..)| *name == kind) else {
            findings.add("api", &place, format!("kind `{kind}` is unknown"));
            continue;
        };
        findings.ensure(
            version == *expected,
            "api",
            &place,
            format!("`{version}` instead of `{expected}`"),
        );
        let wanted = if *namespaced { Some(namespace) } else { None };
        let own = at(document, "/metadata/namespace").as_str();
        findings.ensure(
            own == wanted,
            "names",
            &place,
            format!("namespace {own:?} instead of {wanted:?}"),
        );
        let part = at(document, "/metadata/labels").get("app.kubernetes.io/name");
        findings.ensure(part.is_some(), "names", &place, "it has no label app.kubernetes.io/name");
    }
}
