//! Documents, compared with published schemas of Kubernetes, types of custom kinds and Prometheus'
//! own tool for alerts. The tools are fetched once, in pinned versions, into `target/`. If that
//! fails, the test says so and is skipped.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use swfn_tests::{
    permit,
    tools::{self, skip},
};

use super::{
    folder,
    rendered::{Rendered, all},
    without_duplicates,
};

/// Versions of Kubernetes, oldest first.
const VERSIONS: [&str; 8] = ["1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"];

/// The first version with the used form of dynamic resource allocation.
const FIRST_WITH_CLAIMS: &str = "1.34";

/// Groups of custom kinds, which Kubernetes does not know.
const CUSTOM: [&str; 3] = ["keda.sh/", "monitoring.coreos.com/", "kueue.x-k8s.io/"];

/// Those groups whose types are published in a package.
const TYPED: [&str; 2] = ["keda.sh/", "monitoring.coreos.com/"];

fn is_of(document: &Value, groups: &[&str]) -> bool {
    groups.iter().any(|group| {
        document["apiVersion"].as_str().is_some_and(|version| version.starts_with(group))
    })
}

fn has_claims(rendered: &Rendered) -> bool {
    rendered.components.iter().any(|component| component == "gpu-dra")
}

#[test]
fn each_version_of_kubernetes_accepts_the_documents() {
    let _permit = permit::to_compute();
    let Some(renderings) = all() else { return };
    let python = match tools::python("manifests-python", &folder().join("requirements.txt")) {
        Ok(python) => python,
        Err(problem) => return skip("Kubernetes' schemas of the manifests", &problem),
    };
    let mut wanted: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for version in VERSIONS {
        let documents = without_duplicates(renderings, |rendered| {
            version >= FIRST_WITH_CLAIMS || !has_claims(rendered)
        });
        wanted.insert(
            version,
            documents.into_iter().filter(|document| !is_of(document, &CUSTOM)).collect(),
        );
    }
    // The check works: it finds an unknown kind and an unknown field.
    let (widget, field) =
        (json!({ "apiVersion": "v1", "kind": "Widget", "metadata": { "name": "w" } }), {
            let mut service = wanted["1.37"]
                .iter()
                .copied()
                .find(|document| document["kind"] == "Service")
                .unwrap()
                .clone();
            service["spec"]["selectors"] = json!({});
            service
        });
    let problems = |wanted: &BTreeMap<&str, Vec<&Value>>| -> BTreeMap<String, Vec<String>> {
        let script = folder().join("validate.py");
        serde_json::from_value(tools::ask(
            &python,
            &["-B".as_ref(), script.as_os_str()],
            &json!(wanted),
        ))
        .unwrap()
    };
    for version in VERSIONS {
        let found = problems(&BTreeMap::from([(version, vec![&widget, &field])]));
        assert!(found[version].len() == 2 && found[version][1].contains("selectors"), "{found:?}");
    }
    let found = problems(&wanted);
    for (version, problems) in &found {
        println!(
            "Kubernetes {version}: {} documents validated, {} problems",
            wanted[version.as_str()].len(),
            problems.len()
        );
    }
    assert!(found.len() == VERSIONS.len() && found.values().all(Vec::is_empty), "{found:#?}");
}

#[test]
fn custom_kinds_match_their_published_types() {
    let _permit = permit::to_compute();
    let Some(renderings) = all() else { return };
    let checker = match tools::node(
        "manifests-node",
        &folder(),
        &["package.json", "package-lock.json", "check.mjs"],
    ) {
        Ok(folder) => folder.join("check.mjs"),
        Err(problem) => {
            return skip("types of custom kinds in the manifests", &problem);
        }
    };
    let problems = |documents: &[&Value]| -> Vec<String> {
        let answer = tools::ask("node".as_ref(), &[checker.as_os_str()], &json!(documents));
        serde_json::from_value(answer).unwrap()
    };
    let documents: Vec<_> = without_duplicates(renderings, |_| true)
        .into_iter()
        .filter(|document| is_of(document, &TYPED))
        .collect();
    let of =
        |kind: &str| (*documents.iter().find(|document| document["kind"] == kind).unwrap()).clone();
    // The check works: it finds an unknown field and a wrong value.
    let (mut monitor, mut scaled) = (of("ServiceMonitor"), of("ScaledObject"));
    monitor["spec"]["endpoints"][0]["ports"] = json!("http");
    scaled["spec"]["maxReplicaCount"] = json!("eight");
    for (seeded, name) in [(monitor, "ports"), (scaled, "maxReplicaCount")] {
        let found = problems(&[&seeded]);
        assert!(found.iter().any(|problem| problem.contains(name)), "{found:?}");
    }
    let found = problems(&documents);
    println!(
        "custom kinds of KEDA and the Prometheus operator: {} documents, {} problems",
        documents.len(),
        found.len()
    );
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn prometheus_accepts_the_alerts() {
    let Some(renderings) = all() else { return };
    let promtool = match tools::promtool() {
        Ok(promtool) => promtool,
        Err(problem) => return skip("what Prometheus says of the alerts", &problem),
    };
    let folder = tempfile::tempdir().unwrap();
    let check = |spec: &Value| {
        let file = folder.path().join("rules.yml");
        std::fs::write(&file, spec.to_string()).unwrap();
        let output = std::process::Command::new(&promtool)
            .args(["check", "rules"])
            .arg(&file)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).trim().to_owned())
    };
    let rules: Vec<_> = without_duplicates(renderings, |_| true)
        .into_iter()
        .filter(|it| it["kind"] == "PrometheusRule")
        .collect();
    assert!(!rules.is_empty());
    for rule in rules {
        let (right, text) = check(&rule["spec"]);
        let last = text.lines().last().unwrap_or("").trim();
        println!("promtool check rules: {last}");
        assert!(right, "{text}");
        // The check works: it finds a broken rule.
        let mut broken = rule["spec"].clone();
        broken["groups"][0]["rules"][0]["expr"] = json!("sum by (");
        assert!(!check(&broken).0);
    }
}
