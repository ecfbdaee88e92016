//! The workers' options, and whether they fit their pods.

use crate::manifests::{
    Facts, Rendering,
    container::Container,
    finding::Findings,
    node::{at, list, text},
};

/// Seconds that a stopping worker needs to reach a trial's next report, save checkpoints and return
/// leases.
const CHECKPOINT: u64 = 20;

/// Options whose values are folders.
const FOLDERS: [&str; 3] = ["--cache-dir", "--vae-cache", "--checkpoint-dir"];

pub(super) fn check(rendering: &Rendering, facts: &Facts, findings: &mut Findings) {
    for pod in rendering.pods() {
        for container in
            pod.containers().iter().filter(|container| container.program() == "swfn-worker")
        {
            check_container(container, findings);
            check_address(rendering, container, findings);
            check_end(container, facts, findings);
        }
    }
}

fn check_container(container: &Container<'_>, findings: &mut Findings) {
    let place = container.place();
    let cache = container.variable("SWFN_CACHE").unwrap_or("the user's cache folder");
    let folders = FOLDERS.iter().filter_map(|option| container.argument(option));
    for folder in folders.chain([cache, "/tmp"]) {
        findings.ensure(
            container.can_write(folder),
            "writable",
            &place,
            format!("`{folder}` cannot be written"),
        );
    }
    let (devices, given) = (container.argument("--devices").unwrap_or("auto"), container.devices());
    let fits = match given.len() {
        0 => devices.starts_with("cpu"),
        1 => devices == "cuda",
        _ => false,
    };
    findings.ensure(fits, "devices", &place, format!("--devices `{devices}` with {given:?}"));
}

fn check_address(rendering: &Rendering, container: &Container<'_>, findings: &mut Findings) {
    let place = container.place();
    // The address stands in one place, which the hook reads, too.
    let twice = container.has("--coordinator")
        || container.hook().iter().any(|word| word.starts_with("--coordinator"));
    findings.ensure(!twice, "address", &place, "the address stands beside SWFN_COORDINATOR");
    let address = container.variable("SWFN_COORDINATOR").unwrap_or("");
    let parts =
        address.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once(':')?)));
    let Some((scheme, (host, port))) = parts else {
        findings.add("address", &place, format!("`{address}` is no address"));
        return;
    };
    let expected = if container.speaks_tls() { "https" } else { "http" };
    findings.ensure(
        scheme == expected,
        "address",
        &place,
        format!("`{address}` instead of {expected}://"),
    );
    match rendering.get("Service", host.split('.').next().unwrap_or("")) {
        None => findings.add("address", &place, format!("`{address}`: there is no such Service")),
        Some(service) => {
            let is = |entry: &serde_json::Value| {
                text(entry, "/name") == "grpc"
                    && at(entry, "/port").as_u64().is_some_and(|number| port.parse() == Ok(number))
            };
            let there = Rendering::has_port(service, is);
            findings.ensure(
                there,
                "address",
                &place,
                format!("`{address}`: that is not its port `grpc`"),
            );
        }
    }
}

/// Checks that a worker has time to end in order, and that scaling down kills no work.
fn check_end(container: &Container<'_>, facts: &Facts, findings: &mut Findings) {
    let (place, pod) = (container.place(), container.pod);
    let hook = container.hook();
    let sleep = hook
        .windows(2)
        .filter(|pair| pair[0] == "sleep")
        .filter_map(|pair| pair[1].parse::<u64>().ok())
        .sum::<u64>();
    let grace = at(pod.spec(), "/terminationGracePeriodSeconds").as_u64().unwrap_or(30);
    let wanted = sleep + CHECKPOINT;
    findings.ensure(
        grace >= wanted,
        "grace",
        &place,
        format!("{grace} s instead of at least {wanted} s: no time for a checkpoint"),
    );
    let drains = hook.windows(2).any(|pair| pair == ["swfn-worker", "drain"]);
    findings.ensure(
        hook.is_empty() || drains,
        "grace",
        &place,
        "the hook does not have the worker drained",
    );
    // Without a hook, on machines that may be taken away, checkpoints have to be frequent.
    let frequent = container
        .argument("--checkpoint-seconds")
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(30)
        <= CHECKPOINT;
    findings.ensure(
        drains || frequent,
        "grace",
        &place,
        "what it holds is lost: neither a drain nor frequent checkpoints",
    );
    let knows = facts
        .interfaces
        .get("swfn-worker")
        .is_some_and(|worker| worker.options.contains_key("--exit-when-idle"));
    let ends = container.has("--exit-when-idle");
    let right = if pod.kind() == "Job" { ends && knows } else { !ends };
    findings.ensure(
        right,
        "idle",
        &place,
        "a Job's workers end when they are idle, a Deployment's would be started again",
    );
    // A number that another program changes is not part of the manifest; see the rule `scale`.
    let tolerated = list(pod.spec(), "/tolerations")
        .iter()
        .any(|toleration| text(toleration, "/key") == "nvidia.com/gpu");
    let tolerates = container.devices().is_empty() || tolerated;
    findings.ensure(
        tolerates,
        "devices",
        &place,
        "it does not tolerate the taint of nodes with GPUs",
    );
}
