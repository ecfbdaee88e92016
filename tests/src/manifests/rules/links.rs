//! Links between documents: selectors and ports.

use crate::manifests::{
    Rendering,
    finding::Findings,
    node::{at, list, matches, place, text},
};

pub(super) fn check(rendering: &Rendering, findings: &mut Findings) {
    selectors(rendering, findings);
    services(rendering, findings);
    budgets(rendering, findings);
    for pod in rendering.pods() {
        for container in pod.containers() {
            for port in list(container.value, "/ports") {
                findings.ensure(
                    port.get("name").is_some(),
                    "ports",
                    &container.place(),
                    "a port has no name",
                );
            }
        }
    }
}

fn selectors(rendering: &Rendering, findings: &mut Findings) {
    for pod in rendering.pods() {
        let selector = at(pod.owner, "/spec/selector/matchLabels");
        // A Job chooses its pods itself.
        let right = pod.kind() == "Job" || matches(pod.labels(), selector);
        findings.ensure(
            right,
            "selector",
            &pod.place(),
            "its selector does not choose its own pods",
        );
    }
}

fn services(rendering: &Rendering, findings: &mut Findings) {
    for service in rendering.by_kind("Service") {
        let place = place(service);
        let pods = rendering.selected(at(service, "/spec/selector"));
        findings.ensure(!pods.is_empty(), "service", &place, "it selects no pod");
        for port in list(service, "/spec/ports") {
            let target = text(port, "/targetPort");
            for pod in &pods {
                match pod.port(target) {
                    None => findings.add(
                        "ports",
                        &place,
                        format!("`{target}` is no port of {}", pod.place()),
                    ),
                    Some(number) => {
                        let same = at(port, "/port").as_u64() == Some(number);
                        let problem =
                            format!("a headless service does not translate `{target}` to {number}");
                        findings.ensure(same, "ports", &place, problem);
                    }
                }
            }
        }
    }
}

fn budgets(rendering: &Rendering, findings: &mut Findings) {
    for budget in rendering.by_kind("PodDisruptionBudget") {
        let place = place(budget);
        let pods = rendering.selected(at(budget, "/spec/selector/matchLabels"));
        findings.ensure(!pods.is_empty(), "pdb", &place, "it selects no pod");
        findings.ensure(
            pods.iter().all(|pod| pod.kind() != "Job"),
            "pdb",
            &place,
            "a Job has no scale to keep",
        );
        let most = at(budget, "/spec/maxUnavailable");
        let some = most.as_u64().is_some_and(|most| most > 0)
            || most.as_str().is_some_and(|most| most != "0%");
        findings.ensure(
            some,
            "pdb",
            &place,
            "no node with such a pod could be drained: maxUnavailable is to be 1 or more",
        );
    }
}
