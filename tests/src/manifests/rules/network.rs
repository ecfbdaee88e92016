//! Network policies: the intended connections pass, and no others.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::manifests::{
    Rendering,
    finding::Findings,
    node::{at, list, place, text, texts},
    pod::Pod,
};

/// The connections that the policies let through, from pod to pod.
#[derive(Debug, Default)]
struct Holes {
    /// Pods and directions that are closed except for holes.
    closed: BTreeSet<(String, &'static str)>,
    /// From, to, port. The receivers admit `inward`, the senders permit `outward`.
    inward: BTreeSet<(String, String, String)>,
    outward: BTreeSet<(String, String, String)>,
    /// Pods that may use DNS.
    names: BTreeSet<String>,
}

pub(super) fn check(rendering: &Rendering, findings: &mut Findings) {
    let mut holes = Holes::default();
    for policy in rendering.by_kind("NetworkPolicy") {
        let pods = rendering.selected(at(policy, "/spec/podSelector/matchLabels"));
        findings.ensure(!pods.is_empty(), "network", &place(policy), "it selects no pod");
        for (direction, rules, peers) in
            [("Ingress", "/spec/ingress", "/from"), ("Egress", "/spec/egress", "/to")]
        {
            let listed = texts(policy, "/spec/policyTypes").contains(&direction);
            if listed {
                holes.closed.extend(pods.iter().map(|pod| (pod.place(), direction)));
            }
            for rule in list(policy, rules) {
                findings.ensure(
                    listed,
                    "network",
                    &place(policy),
                    format!("{direction} is not among its policyTypes"),
                );
                check_rule(
                    rendering,
                    policy,
                    &pods,
                    (direction, rule, peers),
                    &mut holes,
                    findings,
                );
            }
        }
    }
    check_reach(rendering, &holes, findings);
}

fn check_rule(
    rendering: &Rendering,
    policy: &Value,
    pods: &[Pod<'_>],
    (direction, rule, peers): (&str, &Value, &str),
    holes: &mut Holes,
    findings: &mut Findings,
) {
    let place = place(policy);
    let ports = list(rule, "/ports");
    findings.ensure(!ports.is_empty(), "network", &place, "a rule without ports opens all of them");
    findings.ensure(
        !list(rule, peers).is_empty(),
        "network",
        &place,
        "a rule without peers is for everybody",
    );
    if direction == "Egress" && ports.iter().any(|port| *at(port, "/port") == 53) {
        holes.names.extend(pods.iter().map(Pod::place));
    }
    for peer in list(rule, peers) {
        // Pods of other projects are not known here, and their ports are numbers.
        let own = peer.get("podSelector").filter(|_| peer.get("namespaceSelector").is_none());
        let others = own.map(|selector| rendering.selected(at(selector, "/matchLabels")));
        findings.ensure(
            others.as_ref().is_none_or(|others| !others.is_empty()),
            "network",
            &place,
            "a peer selects no pod",
        );
        let receivers =
            if direction == "Ingress" { pods } else { others.as_deref().unwrap_or(&[]) };
        for name in ports.iter().map(|port| text(port, "/port")).filter(|name| !name.is_empty()) {
            for receiver in receivers {
                let there = receiver.port(name).is_some();
                findings.ensure(
                    there,
                    "network",
                    &place,
                    format!("`{name}` is no port of {}", receiver.place()),
                );
            }
            for (pod, other) in
                pods.iter().flat_map(|pod| others.iter().flatten().map(move |other| (pod, other)))
            {
                if direction == "Ingress" {
                    holes.inward.insert((other.place(), pod.place(), name.to_owned()));
                } else {
                    holes.outward.insert((pod.place(), other.place(), name.to_owned()));
                }
            }
        }
    }
}

/// Checks that all required connections pass.
fn check_reach(rendering: &Rendering, holes: &Holes, findings: &mut Findings) {
    let pods = rendering.pods();
    for pod in &pods {
        for direction in ["Ingress", "Egress"] {
            let closed = holes.closed.contains(&(pod.place(), direction));
            findings.ensure(
                closed,
                "network",
                &pod.place(),
                format!("{direction} is open for everything"),
            );
        }
    }
    let of = |program| {
        pods.iter().filter(move |pod| {
            pod.containers().iter().any(|container| container.program() == program)
        })
    };
    for worker in of("swfn-worker") {
        for coordinator in of("swfn-coordinator") {
            let hole = (worker.place(), coordinator.place(), "grpc".to_owned());
            let open = holes.inward.contains(&hole) && holes.outward.contains(&hole);
            findings.ensure(open, "network", &worker.place(), "it does not reach the coordinator");
        }
        let asks = holes.names.contains(&worker.place());
        findings.ensure(asks, "network", &worker.place(), "it may not ask for names");
    }
}
