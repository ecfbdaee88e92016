//! The manifests for Kubernetes, checked without a cluster: they are rendered, linted, and compared
//! with schemas and types; Prometheus' own tool reads their alerts. `make deploy-check` shows the
//! numbers.

mod programs;
mod rendered;
mod schemas;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Value, json};
use swfn_tests::manifests::{Fault, Finding, RULES, Rendering, lint};

use self::rendered::{BESIDE, Rendered, all, get};

/// Returns the folder with the inputs of these tests.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests")
}

/// Returns the folder with the manifests.
fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/k8s")
}

fn describe(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("\n  {finding}")).collect()
}

/// Removes duplicates: several renderings share many documents.
fn without_duplicates(renderings: &[Rendered], admits: impl Fn(&Rendered) -> bool) -> Vec<&Value> {
    let mut seen = BTreeSet::new();
    let documents = renderings
        .iter()
        .filter(|rendered| admits(rendered))
        .flat_map(|rendered| rendered.rendering.documents());
    documents.filter(|document| seen.insert(document.to_string())).collect()
}

#[test]
fn no_rendering_has_a_finding() {
    let Some(renderings) = all() else { return };
    let facts = programs::facts();
    let mut total = 0;
    for Rendered { name, rendering, .. } in renderings {
        let findings = lint(rendering, &facts);
        total += findings.len();
        println!(
            "rendered {name}: {} documents, {} findings{}",
            rendering.documents().len(),
            findings.len(),
            describe(&findings)
        );
    }
    let documents: usize =
        renderings.iter().map(|rendered| rendered.rendering.documents().len()).sum();
    let distinct = without_duplicates(renderings, |_| true).len();
    println!(
        "{} renderings: {documents} documents, {distinct} of them different, {total} findings",
        renderings.len()
    );
    assert_eq!(total, 0, "see above");
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Faults {
    fault: Vec<Fault>,
    further: Vec<Fault>,
}

#[test]
fn every_rule_notices_its_seeded_faults() {
    let Some(renderings) = all() else { return };
    let facts = programs::facts();
    let file = fs::read_to_string(folder().join("faults.toml")).unwrap();
    let Faults { fault, further } = toml::from_str(&file).unwrap();
    let mut missed = Vec::new();
    let mut count_noticed = |faults: &[Fault]| {
        let before = missed.len();
        for fault in faults {
            let findings = lint(&fault.seed(get(renderings, &fault.overlay)).unwrap(), &facts);
            let at = fault.at.rsplit('/').next().unwrap_or("").replace("~1", "/");
            match findings.iter().find(|finding| finding.rule == fault.rule) {
                Some(finding) => println!("noticed: {at} becomes {}: {finding}", fault.to),
                None => missed.push(format!(
                    "{} of {}: {}",
                    fault.at,
                    fault.document,
                    describe(&findings)
                )),
            }
        }
        faults.len() + before - missed.len()
    };
    let noticed = (count_noticed(&fault), count_noticed(&further));
    println!(
        "seeded faults: {} of {} noticed; further ones: {} of {}",
        noticed.0,
        fault.len(),
        noticed.1,
        further.len()
    );
    assert!(missed.is_empty() && fault.len() == 25, "{missed:#?}");
    let rules: BTreeSet<_> =
        fault.iter().chain(&further).map(|fault| fault.rule.as_str()).collect();
    assert_eq!(rules, BTreeSet::from(RULES));
}

#[test]
fn every_overlay_and_every_component_is_rendered() {
    let Some(renderings) = all() else { return };
    let folders = |name: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(manifests().join(name)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let names: BTreeSet<_> = renderings.iter().map(|rendered| rendered.name.clone()).collect();
    assert!(folders("overlays").is_subset(&names), "{names:?}");
    let used: BTreeSet<_> =
        renderings.iter().flat_map(|rendered| rendered.components.iter().cloned()).collect();
    // The common part of all kinds of GPUs cannot be chosen as a component.
    let wanted: BTreeSet<_> =
        folders("components").into_iter().filter(|name| name != "gpu").collect();
    assert_eq!(used, wanted);
    assert_eq!(names.len(), folders("overlays").len() + BESIDE.len());
}

/// kustomize only reads its own folder, so the grids are copies.
#[test]
fn grids_are_copies_of_the_coordinators() {
    let grids = Path::new(env!("CARGO_MANIFEST_DIR")).join("../coordinator/grids");
    for (copy, original) in [
        ("base", "quick.toml"),
        ("overlays/single-node-multi-gpu", "scarce.toml"),
        ("overlays/cluster", "scarce.toml"),
        ("overlays/cluster-batch", "scarce.toml"),
    ] {
        let copy = fs::read_to_string(manifests().join(copy).join("grid.toml")).unwrap();
        assert_eq!(
            copy,
            fs::read_to_string(grids.join(original)).unwrap(),
            "copy {original} again"
        );
    }
}

#[test]
fn the_job_has_the_deployments_pods() {
    let Some(renderings) = all() else { return };
    let template = |overlay: &str, kind| {
        get(renderings, overlay)
            .get(kind, "swfn-worker")
            .unwrap()
            .pointer("/spec/template")
            .unwrap()
            .clone()
    };
    let (deployment, mut job) = (template("plain", "Deployment"), template("job", "Job"));
    let spec = job["spec"].as_object_mut().unwrap();
    assert_eq!(spec.remove("restartPolicy"), Some(json!("Never")));
    let container = &mut spec["containers"][0];
    let arguments = container["args"].as_array_mut().unwrap();
    arguments.retain(|argument| !argument.as_str().unwrap().starts_with("--exit-when-idle="));
    // The Job's script, which distinguishes stopped workers from finished ones, is removed.
    container["command"].as_array_mut().unwrap().drain(..3);
    let hook = &mut container["lifecycle"]["preStop"]["exec"]["command"][2];
    *hook = json!(hook.as_str().unwrap().strip_prefix("touch /tmp/asked; "));
    assert_eq!(job, deployment);
}

#[test]
fn the_programs_accept_the_pods_command_lines() {
    let Some(renderings) = all() else { return };
    let mut accepted = BTreeMap::new();
    for Rendered { name, rendering, .. } in renderings {
        accepted.extend(
            programs::commands(rendering).into_iter().map(|command| (command, name.clone())),
        );
    }
    for (command, name) in &accepted {
        programs::try_out(command, name);
    }
    println!("commands of pods: {} different ones, taken by the programs", accepted.len());
}

#[test]
fn a_job_distinguishes_stopped_workers_from_finished_ones() {
    let Some(renderings) = all() else { return };
    let job = get(renderings, "job").get("Job", "swfn-worker").unwrap();
    let script =
        job.pointer("/spec/template/spec/containers/0/command/2").unwrap().as_str().unwrap();
    assert_eq!(programs::endings(script), [Some(0), Some(69), Some(75)]);
}

#[test]
fn an_invalid_rendering_is_an_error() {
    assert!(Rendering::parse("a: [").is_err());
    assert!(Rendering::parse("--- text").is_err());
}
