//! The rules, one module for each subject.

mod api;
mod command;
mod coordinator;
mod identity;
mod kueue;
mod links;
mod monitoring;
mod network;
mod probes;
mod resources;
mod security;
mod volumes;
mod worker;
mod workloads;

use super::{Facts, Finding, Rendering, finding::Findings};

/// The names of all rules.
pub const RULES: [&str; 44] = [
    "address",
    "api",
    "claim",
    "config-map",
    "devices",
    "env",
    "ephemeral",
    "exit-when-done",
    "files",
    "flags",
    "grace",
    "idle",
    "image",
    "insecure",
    "job",
    "kueue",
    "listen",
    "metrics",
    "names",
    "network",
    "pdb",
    "ports",
    "priority-class",
    "probes",
    "program",
    "quantity",
    "read-only-root",
    "request-limit",
    "resources",
    "restricted",
    "scale",
    "secret",
    "secret-mode",
    "selector",
    "service",
    "service-account",
    "service-account-token",
    "service-monitor",
    "stateful-set",
    "tls",
    "token",
    "volumes",
    "whole-gpu",
    "writable",
];

/// Checks a rendering with all rules and returns the findings, sorted.
pub fn lint(rendering: &Rendering, facts: &Facts) -> Vec<Finding> {
    let mut findings = Findings::default();
    api::check(rendering, &mut findings);
    links::check(rendering, &mut findings);
    identity::check(rendering, &mut findings);
    security::check(rendering, &mut findings);
    volumes::check(rendering, &mut findings);
    resources::check(rendering, &mut findings);
    command::check(rendering, facts, &mut findings);
    coordinator::check(rendering, &mut findings);
    worker::check(rendering, facts, &mut findings);
    probes::check(rendering, &mut findings);
    workloads::check(rendering, &mut findings);
    network::check(rendering, &mut findings);
    monitoring::check(rendering, facts, &mut findings);
    kueue::check(rendering, &mut findings);
    findings.into_sorted()
}
