//! Kueue's queues: every resource that pods request needs a quota, or the pods would wait for ever.
//!
//! The types of its kinds are defined here, since no package registry has their schemas.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::manifests::{
    Rendering,
    container::Container,
    finding::Findings,
    node::{at, entries, place},
    quantity::thousandths,
};

/// The label with the name of a LocalQueue.
const QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// The used part of a ClusterQueue (`kueue.x-k8s.io/v1beta2`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClusterQueue {
    resource_groups: Vec<ResourceGroup>,
    #[serde(rename = "namespaceSelector")]
    _namespace_selector: BTreeMap<String, Value>,
    #[serde(rename = "queueingStrategy")]
    _queueing_strategy: Strategy,
}

#[derive(Debug, Deserialize)]
enum Strategy {
    #[serde(rename = "StrictFIFO")]
    Strict,
    #[serde(rename = "BestEffortFIFO")]
    BestEffort,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResourceGroup {
    covered_resources: Vec<String>,
    flavors: Vec<Flavor>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flavor {
    name: String,
    resources: Vec<Quota>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Quota {
    name: String,
    nominal_quota: Value,
}

/// A LocalQueue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LocalQueue {
    cluster_queue: String,
}

/// A ResourceFlavor.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResourceFlavor {
    #[serde(default, rename = "nodeLabels")]
    _node_labels: BTreeMap<String, String>,
}

pub(super) fn check(rendering: &Rendering, findings: &mut Findings) {
    for flavor in rendering.by_kind("ResourceFlavor") {
        read::<ResourceFlavor>(flavor, findings);
    }
    for queue in rendering.by_kind("ClusterQueue") {
        let Some(spec) = read::<ClusterQueue>(queue, findings) else { continue };
        for group in &spec.resource_groups {
            check_group(rendering, group, &place(queue), findings);
        }
    }
    for queue in rendering.by_kind("LocalQueue") {
        let spec = read::<LocalQueue>(queue, findings);
        let there = spec.is_none_or(|spec| rendering.has("ClusterQueue", &spec.cluster_queue));
        findings.ensure(there, "kueue", &place(queue), "there is no such ClusterQueue");
    }
    for pod in rendering.pods() {
        let Some(name) = at(pod.owner, "/metadata/labels").get(QUEUE).and_then(Value::as_str)
        else {
            continue;
        };
        let local = rendering.get("LocalQueue", name);
        findings.ensure(
            local.is_some(),
            "kueue",
            &pod.place(),
            format!("there is no LocalQueue `{name}`"),
        );
        let cluster = local.and_then(|local| {
            rendering.get("ClusterQueue", at(local, "/spec/clusterQueue").as_str()?)
        });
        let Some(spec) = cluster.and_then(|cluster| spec::<ClusterQueue>(cluster).ok()) else {
            continue;
        };
        pod.containers().iter().for_each(|container| check_covered(container, &spec, findings));
    }
}

fn spec<T: DeserializeOwned>(document: &Value) -> Result<T, serde_json::Error> {
    T::deserialize(at(document, "/spec"))
}

fn read<T: DeserializeOwned>(document: &Value, findings: &mut Findings) -> Option<T> {
    spec(document).map_err(|error| findings.add("kueue", &place(document), error.to_string())).ok()
}

fn check_group(rendering: &Rendering, group: &ResourceGroup, place: &str, findings: &mut Findings) {
    for flavor in &group.flavors {
        let there = rendering.has("ResourceFlavor", &flavor.name);
        findings.ensure(
            there,
            "kueue",
            place,
            format!("there is no ResourceFlavor `{}`", flavor.name),
        );
        // Kueue also requires the same order.
        let same = flavor.resources.iter().map(|quota| &quota.name).eq(&group.covered_resources);
        findings.ensure(same, "kueue", place, "quotas are not of the resources that are covered");
        for quota in &flavor.resources {
            let right = thousandths(&quota.nominal_quota).is_some();
            findings.ensure(
                right,
                "quantity",
                place,
                format!("{}: its quota is no quantity", quota.name),
            );
        }
    }
}

fn check_covered(container: &Container<'_>, queue: &ClusterQueue, findings: &mut Findings) {
    for (name, _) in entries(container.value, "/resources/requests") {
        let covered = queue
            .resource_groups
            .iter()
            .any(|group| group.covered_resources.iter().any(|other| other == name));
        findings.ensure(
            covered,
            "kueue",
            &container.place(),
            format!("{name} has no quota, so nothing would begin"),
        );
    }
}
