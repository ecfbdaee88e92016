//! Volumes, and the secrets, config maps and claims behind them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::manifests::{
    Rendering,
    finding::Findings,
    node::{at, list, text},
    pod::Pod,
};

/// The mode of a Secret's files unless the volume sets one.
const DEFAULT_MODE: u64 = 0o644;

pub(super) fn check(rendering: &Rendering, findings: &mut Findings) {
    for pod in rendering.pods() {
        for (name, volume) in pod.volumes() {
            check_volume(rendering, &pod.place(), name, &volume, findings);
        }
        check_mounts(pod, findings);
        check_claims(rendering, pod, findings);
    }
}

fn check_volume(
    rendering: &Rendering,
    place: &str,
    name: &str,
    volume: &Value,
    findings: &mut Findings,
) {
    for (rule, kind, pointer) in [
        ("secret", "Secret", "/secret/secretName"),
        ("config-map", "ConfigMap", "/configMap/name"),
        ("claim", "PersistentVolumeClaim", "/persistentVolumeClaim/claimName"),
    ] {
        let wanted = text(volume, pointer);
        let there = wanted.is_empty() || rendering.has(kind, wanted);
        findings.ensure(
            there,
            rule,
            place,
            format!("volume `{name}`: there is no {kind} `{wanted}`"),
        );
    }
    if volume.get("secret").is_some() {
        let mode = at(volume, "/secret/defaultMode").as_u64().unwrap_or(DEFAULT_MODE);
        findings.ensure(
            mode & 0o007 == 0,
            "secret-mode",
            place,
            format!("everybody may read volume `{name}`"),
        );
    }
}

fn check_mounts(pod: Pod<'_>, findings: &mut Findings) {
    let volumes = pod.volumes();
    let mut unused: BTreeSet<_> = volumes.keys().copied().collect();
    for container in pod.containers() {
        let (place, mut paths) = (container.place(), BTreeSet::new());
        for mount in list(container.value, "/volumeMounts") {
            let (name, path) = (text(mount, "/name"), text(mount, "/mountPath"));
            findings.ensure(
                volumes.contains_key(name),
                "volumes",
                &place,
                format!("there is no volume `{name}`"),
            );
            findings.ensure(
                paths.insert(path),
                "volumes",
                &place,
                format!("`{path}` is mounted twice"),
            );
            unused.remove(name);
        }
    }
    for name in unused {
        findings.add("volumes", &pod.place(), format!("volume `{name}` is mounted nowhere"));
    }
}

/// Checks the claims of dynamic resource allocation.
fn check_claims(rendering: &Rendering, pod: Pod<'_>, findings: &mut Findings) {
    let claims = list(pod.spec(), "/resourceClaims");
    for claim in claims {
        let template = text(claim, "/resourceClaimTemplateName");
        let there = rendering.has("ResourceClaimTemplate", template);
        findings.ensure(
            there,
            "claim",
            &pod.place(),
            format!("there is no ResourceClaimTemplate `{template}`"),
        );
    }
    for container in pod.containers() {
        for used in list(container.value, "/resources/claims") {
            let name = text(used, "/name");
            let there = claims.iter().any(|claim| text(claim, "/name") == name);
            findings.ensure(
                there,
                "claim",
                &container.place(),
                format!("the pod has no resource claim `{name}`"),
            );
        }
    }
}
