//! Workloads: one coordinator, a Job that retries the right failures, and a number of workers that
//! only one side sets.

use serde_json::{Value, json};

use crate::manifests::{
    Rendering,
    finding::Findings,
    node::{at, list, place, text, texts},
    pod::Pod,
};

/// Exit codes of a worker that a restart would repeat: its device was given up, or its usage was
/// wrong.
const HOPELESS: [u64; 2] = [1, 2];

/// The file whose presence says that a worker was asked to stop.
const ASKED: &str = "/tmp/asked";

pub(super) fn check(rendering: &Rendering, findings: &mut Findings) {
    for pod in rendering.pods() {
        match pod.kind() {
            "StatefulSet" => stateful_set(rendering, pod, findings),
            "Job" => job(pod, findings),
            _ => {}
        }
    }
    for scaled in rendering.by_kind("ScaledObject") {
        scaled_object(rendering, scaled, findings);
    }
}

fn stateful_set(rendering: &Rendering, pod: Pod<'_>, findings: &mut Findings) {
    let (place, set) = (pod.place(), pod.owner);
    let headless = rendering.get("Service", text(set, "/spec/serviceName"));
    let headless = headless.is_some_and(|service| text(service, "/spec/clusterIP") == "None");
    findings.ensure(headless, "stateful-set", &place, "it has no headless service");
    // Otherwise a pod that never gets ready keeps its successor from being made.
    let parallel = text(set, "/spec/podManagementPolicy") == "Parallel";
    findings.ensure(parallel, "stateful-set", &place, "its podManagementPolicy is not Parallel");
    let one = *at(set, "/spec/replicas") == json!(1);
    findings.ensure(one, "stateful-set", &place, "a run directory has one coordinator");
    for claim in list(set, "/spec/volumeClaimTemplates") {
        let alone = texts(claim, "/spec/accessModes") == ["ReadWriteOncePod"];
        findings.ensure(alone, "stateful-set", &place, "two pods might open the run directory");
    }
}

fn job(pod: Pod<'_>, findings: &mut Findings) {
    let (place, job) = (pod.place(), pod.owner);
    let mut ensure = |holds, problem: &str| findings.ensure(holds, "job", &place, problem);
    ensure(text(pod.spec(), "/restartPolicy") == "Never", "restartPolicy is to be Never");
    ensure(text(job, "/spec/completionMode") == "Indexed", "it is not Indexed");
    ensure(at(job, "/spec/backoffLimitPerIndex").is_u64(), "one bad node would end all indices");
    ensure(
        at(job, "/spec/completions") == at(job, "/spec/parallelism"),
        "an index that begins later finds no work",
    );
    let rules = list(job, "/spec/podFailurePolicy/rules");
    let ignored = rules.iter().any(|rule| {
        let disruption = |condition: &Value| {
            text(condition, "/type") == "DisruptionTarget" && text(condition, "/status") == "True"
        };
        text(rule, "/action") == "Ignore" && list(rule, "/onPodConditions").iter().any(disruption)
    });
    ensure(ignored, "disruptions count as failures");
    let failing: Vec<_> =
        rules.iter().filter(|rule| text(rule, "/action") == "FailIndex").collect();
    let mut codes: Vec<_> = failing
        .iter()
        .flat_map(|rule| list(rule, "/onExitCodes/values"))
        .filter_map(Value::as_u64)
        .collect();
    codes.sort_unstable();
    ensure(
        codes == HOPELESS,
        "the exit codes after which another start would end the same are others",
    );
    for container in pod.containers() {
        // A worker that was asked to stop is not done. The hook and the command communicate through
        // a file.
        let says = |words: &[&str]| words.iter().any(|word| word.contains(ASKED));
        let hook = container.hook();
        ensure(
            says(&texts(container.value, "/command")),
            "a worker that is asked to stop counts as done",
        );
        ensure(hook.is_empty() || says(&hook), "a worker that is drained counts as done");
    }
    let names: Vec<_> = pod.containers().iter().map(|container| container.name()).collect();
    let known =
        failing.iter().all(|rule| names.contains(&text(rule, "/onExitCodes/containerName")));
    ensure(known, "a rule is about a container that is not there");
}

fn scaled_object(rendering: &Rendering, scaled: &Value, findings: &mut Findings) {
    let place = place(scaled);
    match rendering
        .get(text(scaled, "/spec/scaleTargetRef/kind"), text(scaled, "/spec/scaleTargetRef/name"))
    {
        None => findings.add("scale", &place, "its target is not there"),
        Some(target) => {
            let free = target.pointer("/spec/replicas").is_none();
            findings.ensure(
                free,
                "scale",
                &place,
                "each `kubectl apply` would put the number of workers back",
            );
        }
    }
    let pending = list(scaled, "/spec/triggers")
        .iter()
        .any(|trigger| text(trigger, "/metadata/query").contains("pending"));
    findings.ensure(pending, "scale", &place, "it does not look at trials that wait");
}
