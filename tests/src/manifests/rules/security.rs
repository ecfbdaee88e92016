//! The `restricted` level of Kubernetes' pod security standards, and read-only root file systems.

use crate::manifests::{
    Rendering,
    container::Container,
    finding::Findings,
    node::{at, place, text, texts},
    pod::Pod,
};

/// Kinds of volumes that `restricted` admits.
const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(super) fn check(rendering: &Rendering, findings: &mut Findings) {
    for namespace in rendering.by_kind("Namespace") {
        let level = at(namespace, "/metadata/labels").get("pod-security.kubernetes.io/enforce");
        let right = level.is_some_and(|level| level == "restricted");
        findings.ensure(right, "restricted", &place(namespace), "the level is not enforced");
    }
    for pod in rendering.pods() {
        check_pod(pod, findings);
        pod.containers().iter().for_each(|container| check_container(container, findings));
    }
}

fn check_pod(pod: Pod<'_>, findings: &mut Findings) {
    let (place, spec) = (pod.place(), pod.spec());
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        let not = spec.get(shared).is_none_or(|value| *value == false);
        findings.ensure(not, "restricted", &place, format!("{shared} is set"));
    }
    let context = at(spec, "/securityContext");
    let no_root = *at(context, "/runAsNonRoot") == true && *at(context, "/runAsUser") != 0;
    findings.ensure(no_root, "restricted", &place, "it may run as root");
    let profile = text(context, "/seccompProfile/type");
    let confined = ["RuntimeDefault", "Localhost"].contains(&profile);
    findings.ensure(confined, "restricted", &place, format!("seccomp profile `{profile}`"));
    for (name, volume) in pod.volumes() {
        let kinds = volume.as_object().into_iter().flatten().map(|(kind, _)| kind.as_str());
        for kind in kinds.filter(|kind| *kind != "name" && !VOLUMES.contains(kind)) {
            findings.add("restricted", &place, format!("volume `{name}` is of kind `{kind}`"));
        }
    }
}

fn check_container(container: &Container<'_>, findings: &mut Findings) {
    let (place, context) = (container.place(), at(container.value, "/securityContext"));
    let no_more =
        *at(context, "/allowPrivilegeEscalation") == false && *at(context, "/privileged") != true;
    findings.ensure(no_more, "restricted", &place, "it may gain privileges");
    let dropped = texts(context, "/capabilities/drop").contains(&"ALL");
    let added = texts(context, "/capabilities/add").iter().any(|name| *name != "NET_BIND_SERVICE");
    findings.ensure(dropped && !added, "restricted", &place, "it keeps capabilities");
    let no_root = *at(context, "/runAsNonRoot") != false && *at(context, "/runAsUser") != 0;
    findings.ensure(no_root, "restricted", &place, "it may run as root");
    let profile = text(context, "/seccompProfile/type");
    findings.ensure(profile != "Unconfined", "restricted", &place, "seccomp is off");
    let fixed = *at(context, "/readOnlyRootFilesystem") == true;
    findings.ensure(fixed, "read-only-root", &place, "its root file system can be written");
}
