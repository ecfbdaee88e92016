//! Scraping, alerts, dashboards and scaling: the metrics that they use have to exist.

use serde_json::Value;

use crate::manifests::{
    Facts, Rendering,
    finding::Findings,
    node::{at, entries, list, place, text},
    promql,
};

pub(super) fn check(rendering: &Rendering, facts: &Facts, findings: &mut Findings) {
    for scaled in rendering.by_kind("ScaledObject") {
        for trigger in list(scaled, "/spec/triggers") {
            check_expression(
                rendering,
                facts,
                text(trigger, "/metadata/query"),
                &place(scaled),
                findings,
            );
        }
    }
    for rules in rendering.by_kind("PrometheusRule") {
        for rule in list(rules, "/spec/groups").iter().flat_map(|group| list(group, "/rules")) {
            let place = format!("{}/{}", place(rules), text(rule, "/alert"));
            check_expression(rendering, facts, text(rule, "/expr"), &place, findings);
            for field in ["/annotations/summary", "/annotations/description", "/labels/severity"] {
                findings.ensure(
                    !text(rule, field).is_empty(),
                    "metrics",
                    &place,
                    format!("it has no {}", &field[1..]),
                );
            }
        }
    }
    for config in rendering.by_kind("ConfigMap") {
        for (name, text) in entries(config, "/data").filter(|(name, _)| name.ends_with(".json")) {
            check_dashboard(rendering, facts, text, &format!("{}/{name}", place(config)), findings);
        }
    }
    for monitor in rendering.by_kind("ServiceMonitor") {
        check_monitor(rendering, monitor, findings);
    }
}

fn check_expression(
    rendering: &Rendering,
    facts: &Facts,
    expression: &str,
    place: &str,
    findings: &mut Findings,
) {
    for name in promql::metrics(expression) {
        findings.ensure(
            facts.metrics.contains(name),
            "metrics",
            place,
            format!("there is no metric `{name}`"),
        );
    }
    for (label, known) in &facts.label_values {
        for value in promql::label_values(expression, label) {
            findings.ensure(
                known.contains(value),
                "metrics",
                place,
                format!("there is no {label} `{value}`"),
            );
        }
    }
    for value in promql::label_values(expression, "namespace") {
        let known = value == rendering.namespace() || value == "$namespace";
        findings.ensure(known, "metrics", place, format!("there is no namespace `{value}`"));
    }
}

fn check_dashboard(
    rendering: &Rendering,
    facts: &Facts,
    json: &Value,
    place: &str,
    findings: &mut Findings,
) {
    let dashboard = json.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(dashboard) = dashboard else {
        findings.add("metrics", place, "it is no JSON");
        return;
    };
    let panels = list(&dashboard, "/panels");
    findings.ensure(!panels.is_empty(), "metrics", place, "it shows nothing");
    for panel in panels {
        let place = format!("{place}/{}", text(panel, "/title"));
        findings.ensure(!list(panel, "/targets").is_empty(), "metrics", &place, "it shows nothing");
        for target in list(panel, "/targets") {
            check_expression(rendering, facts, text(target, "/expr"), &place, findings);
        }
    }
    for variable in list(&dashboard, "/templating/list") {
        check_expression(rendering, facts, text(variable, "/query/query"), place, findings);
    }
}

fn check_monitor(rendering: &Rendering, monitor: &Value, findings: &mut Findings) {
    let place = place(monitor);
    let mut ensure =
        |holds, problem: String| findings.ensure(holds, "service-monitor", &place, problem);
    let services = rendering.services(at(monitor, "/spec/selector/matchLabels"));
    ensure(!services.is_empty(), "it selects no Service".to_owned());
    let encrypted = rendering
        .pods()
        .iter()
        .flat_map(|pod| pod.containers())
        .any(|container| container.speaks_tls());
    for endpoint in list(monitor, "/spec/endpoints") {
        let port = text(endpoint, "/port");
        let there = services
            .iter()
            .all(|service| Rendering::has_port(service, |entry| text(entry, "/name") == port));
        ensure(there, format!("its Service has no port `{port}`"));
        ensure(text(endpoint, "/path") == "/metrics", "metrics are at /metrics".to_owned());
        ensure(
            (text(endpoint, "/scheme") == "https") == encrypted,
            "its scheme is not the coordinator's".to_owned(),
        );
        let authority = at(endpoint, "/tlsConfig/ca/secret");
        ensure(
            authority.is_null() != encrypted,
            "with TLS it needs an authority, and only then".to_owned(),
        );
        for secret in [at(endpoint, "/authorization/credentials"), authority] {
            let (name, key) = (text(secret, "/name"), text(secret, "/key"));
            ensure(
                secret.is_null() || rendering.has_key("Secret", name, key),
                format!("there is no Secret `{name}` with a key `{key}`"),
            );
        }
        let host = text(endpoint, "/tlsConfig/serverName");
        ensure(
            host.is_empty() || rendering.has("Service", host),
            format!("certificates are not of `{host}`"),
        );
    }
}
