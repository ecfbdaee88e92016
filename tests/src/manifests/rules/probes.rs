//! Probes use the kind and the port that need neither TLS nor a token, and each asks about the
//! right service.

use crate::manifests::{
    Rendering,
    container::Container,
    finding::Findings,
    node::{at, list, text},
};

/// Probes, with the service that each asks about. Liveness depends on the program alone, so that
/// neither a full disk nor missing workers restart it.
const PROBES: [(&str, &str); 3] =
    [("/startupProbe", ""), ("/livenessProbe", ""), ("/readinessProbe", "ready")];

/// Seconds in which a large database is read.
const START: u64 = 300;

pub(super) fn check(rendering: &Rendering, findings: &mut Findings) {
    for pod in rendering.pods() {
        for container in pod.containers() {
            // A worker listens on no port. Its supervisor and the coordinator watch it.
            if list(container.value, "/ports").is_empty() {
                let none = PROBES.iter().all(|(probe, _)| container.value.pointer(probe).is_none());
                findings.ensure(none, "probes", &container.place(), "there is nothing to probe");
            } else {
                check_container(&container, findings);
            }
        }
    }
}

fn check_container(container: &Container<'_>, findings: &mut Findings) {
    let place = container.place();
    for (probe, service) in PROBES {
        let name = &probe[1..];
        let Some(grpc) = at(container.value, probe).get("grpc") else {
            findings.add(
                "probes",
                &place,
                format!("{name} is missing, or of another kind than grpc"),
            );
            continue;
        };
        let port = at(grpc, "/port").as_u64();
        let right = port.is_some() && port == container.port("health");
        findings.ensure(right, "probes", &place, format!("{name}: {port:?} is not port `health`"));
        let asked = text(grpc, "/service");
        findings.ensure(
            asked == service,
            "probes",
            &place,
            format!("{name} asks about `{asked}` instead of `{service}`"),
        );
        // Kubernetes' default of one second is short for a busy node.
        let patient = at(container.value, probe).get("timeoutSeconds").is_some();
        findings.ensure(patient, "probes", &place, format!("{name} has no timeoutSeconds"));
    }
    let start = at(container.value, "/startupProbe");
    let number = |pointer, default| at(start, pointer).as_u64().unwrap_or(default);
    let long = number("/periodSeconds", 10) * number("/failureThreshold", 3) >= START;
    findings.ensure(
        long,
        "probes",
        &place,
        format!("a large database takes longer to open; allow {START} s"),
    );
}
