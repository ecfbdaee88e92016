//! Service accounts and priority classes.

use crate::manifests::{
    Rendering,
    finding::Findings,
    node::{at, place, text},
};

/// Below this priority the cluster autoscaler adds no nodes for pods, and removes theirs without
/// asking.
const EXPENDABLE: i64 = -10;

pub(super) fn check(rendering: &Rendering, findings: &mut Findings) {
    for class in rendering.by_kind("PriorityClass") {
        let value = at(class, "/value").as_i64().unwrap_or(i64::MIN);
        let problem = format!("with {value} the cluster autoscaler makes no room");
        findings.ensure(value >= EXPENDABLE, "priority-class", &place(class), problem);
    }
    for pod in rendering.pods() {
        let place = pod.place();
        let account = text(pod.spec(), "/serviceAccountName");
        let known = rendering.has("ServiceAccount", account);
        findings.ensure(
            known,
            "service-account",
            &place,
            format!("there is no ServiceAccount `{account}`"),
        );
        let none = *at(pod.spec(), "/automountServiceAccountToken") == false;
        findings.ensure(
            none,
            "service-account-token",
            &place,
            "a token is mounted, and nothing needs one",
        );
        let class = text(pod.spec(), "/priorityClassName");
        let known = class.is_empty() || rendering.has("PriorityClass", class);
        findings.ensure(
            known,
            "priority-class",
            &place,
            format!("there is no PriorityClass `{class}`"),
        );
    }
}
