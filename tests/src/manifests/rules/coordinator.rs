//! The coordinator's options, and whether they fit its pod.

use crate::manifests::{Rendering, container::Container, finding::Findings, node::at};

/// Options with an address, and the names of their ports.
const ADDRESSES: [(&str, &str); 3] =
    [("--listen", "grpc"), ("--http", "http"), ("--health", "health")];

pub(super) fn check(rendering: &Rendering, findings: &mut Findings) {
    for pod in rendering.pods() {
        for container in
            pod.containers().iter().filter(|container| container.program() == "swfn-coordinator")
        {
            check_container(rendering, container, findings);
        }
    }
}

fn check_container(rendering: &Rendering, container: &Container<'_>, findings: &mut Findings) {
    let place = container.place();
    match container.argument("--grid").map(|grid| container.unreadable(rendering, grid)) {
        None => findings.add("files", &place, "it has no grid"),
        Some(problem) => {
            problem.into_iter().for_each(|problem| findings.add("files", &place, problem))
        }
    }
    let run_dir = container.argument("--run-dir").unwrap_or("runs");
    findings.ensure(
        container.can_write(run_dir),
        "writable",
        &place,
        format!("`{run_dir}` cannot be written"),
    );
    let kept = container
        .mount(run_dir)
        .is_some_and(|mount| mount.volume.get("persistentVolumeClaim").is_some());
    findings.ensure(kept, "writable", &place, format!("`{run_dir}` does not outlive the pod"));
    findings.ensure(container.can_write("/tmp"), "writable", &place, "SQLite cannot sort in /tmp");

    let insecure = container.has("--insecure");
    let one = insecure != container.speaks_tls();
    findings.ensure(one, "insecure", &place, "it needs either TLS or --insecure, and not both");
    for (option, name) in ADDRESSES {
        let address = container.argument(option).unwrap_or("");
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        let expected = container.port(name);
        let same = expected.is_some_and(|expected| port.parse() == Ok(expected));
        findings.ensure(
            same,
            "listen",
            &place,
            format!("{option} `{address}` is not port `{name}`"),
        );
        let reached = ["", "0.0.0.0", "[::]"].contains(&host);
        findings.ensure(
            reached,
            "listen",
            &place,
            format!("{option} `{address}` is not reached from outside of the pod"),
        );
    }
    // Prometheus and the dashboard's users address it by its own name.
    let host = container.argument("--http-host").unwrap_or("");
    let known = rendering.has("Service", host);
    findings.ensure(known, "listen", &place, format!("--http-host: there is no Service `{host}`"));
    let stays = container.argument("--exit-when-done") == Some("false");
    findings.ensure(
        stays,
        "exit-when-done",
        &place,
        "a StatefulSet would start it again and again",
    );
    let grace = at(container.pod.spec(), "/terminationGracePeriodSeconds").as_u64().unwrap_or(30);
    findings.ensure(
        grace >= 60,
        "grace",
        &place,
        format!("{grace} s are not enough to write all tables"),
    );
}
