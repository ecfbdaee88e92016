//! Requests and limits.

use crate::manifests::{
    Rendering,
    container::Container,
    finding::Findings,
    node::{at, entries, place},
    quantity::thousandths,
};

pub(super) fn check(rendering: &Rendering, findings: &mut Findings) {
    for pod in rendering.pods() {
        pod.containers().iter().for_each(|container| check_container(container, findings));
        let limits = pod.containers();
        let limits = limits
            .iter()
            .map(|container| at(container.value, "/resources/limits/ephemeral-storage"));
        let room: u128 = limits.filter_map(thousandths).sum();
        let folders = pod.volumes();
        let folders = folders.values().filter(|volume| volume.get("emptyDir").is_some());
        let sizes: Option<u128> =
            folders.map(|folder| thousandths(at(folder, "/emptyDir/sizeLimit"))).sum();
        let problem = match sizes {
            None => Some("an emptyDir has no limit"),
            Some(sizes) if sizes > room => {
                Some("its emptyDirs are larger than its ephemeral storage")
            }
            Some(_) => None,
        };
        problem.into_iter().for_each(|problem| findings.add("ephemeral", &pod.place(), problem));
    }
    for claim in rendering.by_kind("PersistentVolumeClaim") {
        let size = thousandths(at(claim, "/spec/resources/requests/storage"));
        findings.ensure(size.is_some(), "quantity", &place(claim), "its size is no quantity");
    }
}

fn check_container(container: &Container<'_>, findings: &mut Findings) {
    let place = container.place();
    let resources = at(container.value, "/resources");
    for part in ["/requests", "/limits"] {
        for (name, quantity) in entries(resources, part) {
            match thousandths(quantity) {
                None => {
                    findings.add("quantity", &place, format!("{name}: {quantity} is no quantity"))
                }
                Some(amount) if name.contains('/') && (amount == 0 || amount % 1000 != 0) => {
                    findings.add(
                        "whole-gpu",
                        &place,
                        format!("{name}: {quantity} is no whole number of devices"),
                    );
                }
                Some(_) => {}
            }
        }
        for name in ["memory", "ephemeral-storage"] {
            let there = at(resources, part).get(name).is_some();
            findings.ensure(there, "resources", &place, format!("{}: no {name}", &part[1..]));
        }
    }
    findings.ensure(
        resources.pointer("/requests/cpu").is_some(),
        "resources",
        &place,
        "requests: no cpu",
    );
    for (name, request) in entries(resources, "/requests") {
        let limit = at(resources, "/limits").get(name);
        let sizes = limit.and_then(|limit| Some((thousandths(request)?, thousandths(limit)?)));
        let fits = sizes.is_none_or(|(request, limit)| request <= limit);
        findings.ensure(
            fits,
            "request-limit",
            &place,
            format!("{name}: more is requested than it may have"),
        );
        let equal = !name.contains('/') || limit == Some(request);
        findings.ensure(
            equal,
            "request-limit",
            &place,
            format!("{name}: request and limit of devices must be equal"),
        );
    }
    for (name, _) in entries(resources, "/limits").filter(|(name, _)| name.contains('/')) {
        let requested = at(resources, "/requests").get(name).is_some();
        findings.ensure(
            requested,
            "request-limit",
            &place,
            format!("{name}: a limit without a request"),
        );
    }
}
