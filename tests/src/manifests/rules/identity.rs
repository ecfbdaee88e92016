//! Service accounts and priority classes.

use serde_json::Value;

use crate::manifests::{
    Rendering,
    finding::Findings,
    node::{at, text},
};

pub(super) fn check(rendering: &Rendering, findings: &mut Findings) {
    for pod in rendering.pods() {
        let place = pod.place();
        let account = text(pod.spec(), "/serviceAccountName");
        let known = rendering.has("ServiceAccount", account);
        findings.ensure(known, "service-account", &place, format!("there is no ServiceAccount `{account}`"));
        let none = *at(pod.spec(), "/automountServiceAccountToken") == Value::Bool(false);
        findings.ensure(none, "service-account-token", &place, "a token is mounted, and nothing needs one");
        let class = text(pod.spec(), "/priorityClassName");
        let known = class.is_empty() || rendering.has("PriorityClass", class);
        findings.ensure(known, "priority-class", &place, format!("there is no PriorityClass `{class}`"));
    }
}
