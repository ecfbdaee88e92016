//! Command lines: the programs must have the options and variables, and the files must exist.

use crate::manifests::{
    Facts, Rendering,
    container::{Container, option},
    finding::Findings,
    node::{place, text},
};

/// Variables whose values are paths.
const FILES: [&str; 5] =
    ["SWFN_TLS_CERT", "SWFN_TLS_KEY", "SWFN_TLS_CA", "SWFN_TLS_CLIENT_CA", "SWFN_TOKEN_FILE"];

/// The least number of characters of a token.
const TOKEN: usize = 32;

pub(super) fn check(rendering: &Rendering, facts: &Facts, findings: &mut Findings) {
    let containers: Vec<_> = rendering.pods().iter().flat_map(|pod| pod.containers()).collect();
    for container in &containers {
        check_interface(container, facts, findings);
        check_image(container, facts, findings);
        for name in FILES {
            let problem =
                container.variable(name).and_then(|path| container.unreadable(rendering, path));
            problem
                .into_iter()
                .for_each(|problem| findings.add("files", &container.place(), problem));
        }
        let known = container.variable("SWFN_TOKEN_FILE").is_some();
        findings.ensure(known, "token", &container.place(), "it has no token");
    }
    let encrypted = containers.iter().filter(|container| container.speaks_tls()).count();
    let agreed = encrypted == 0 || encrypted == containers.len();
    findings.ensure(agreed, "tls", "all pods", "one side speaks TLS, and the other does not");
    for secret in rendering.by_kind("Secret") {
        let encoded = text(secret, "/data/token");
        // In base64, four characters stand for three bytes.
        let long = encoded.is_empty() || encoded.trim_end_matches('=').len() * 3 / 4 >= TOKEN;
        findings.ensure(
            long,
            "token",
            &place(secret),
            format!("it has less than {TOKEN} characters"),
        );
    }
}

fn check_interface(container: &Container<'_>, facts: &Facts, findings: &mut Findings) {
    let (place, program) = (container.place(), container.program());
    let Some(interface) = facts.interfaces.get(program) else {
        findings.add("program", &place, format!("there is no program `{program}`"));
        return;
    };
    for (name, value) in container.arguments() {
        match interface.options.get(name) {
            None => findings.add("flags", &place, format!("{program} has no `{name}`")),
            Some(takes) => {
                let fits = *takes == value.is_some();
                findings.ensure(
                    fits,
                    "flags",
                    &place,
                    format!("`{name}`: a value too many, or none where one is needed"),
                );
            }
        }
    }
    for name in container.variables() {
        let read = interface.variables.contains(name);
        findings.ensure(read, "env", &place, format!("{program} does not read `{name}`"));
    }
    check_hook(container, facts, findings);
}

/// Checks the commands of the hook, which its shell separates by `&&` and `;`.
fn check_hook(container: &Container<'_>, facts: &Facts, findings: &mut Findings) {
    let hook = container.hook();
    for command in hook.split(|word| ["&&", "||", ";"].contains(word)) {
        let Some(start) = command.iter().position(|word| word.starts_with("swfn-")) else {
            continue;
        };
        let (program, rest) = match &command[start..] {
            [program, subcommand, rest @ ..] if !subcommand.starts_with('-') => {
                (format!("{program} {subcommand}"), rest)
            }
            [program, rest @ ..] => ((*program).to_owned(), rest),
            [] => continue,
        };
        let Some(interface) = facts.interfaces.get(&program) else {
            findings.add("program", &container.place(), format!("there is no `{program}`"));
            continue;
        };
        for word in rest.iter().filter(|word| word.starts_with('-')) {
            let known = interface.options.contains_key(option(word).0);
            findings.ensure(
                known,
                "flags",
                &container.place(),
                format!("{program} has no `{word}`"),
            );
        }
    }
}

fn check_image(container: &Container<'_>, facts: &Facts, findings: &mut Findings) {
    let (place, program) = (container.place(), container.program());
    let image = text(container.value, "/image");
    let (path, tag) = image.rsplit_once(':').unwrap_or((image, ""));
    let name = path.rsplit('/').next().unwrap_or("");
    findings.ensure(
        name == program,
        "image",
        &place,
        format!("`{image}` is not the image of {program}"),
    );
    let expected = match (program, container.devices().is_empty()) {
        ("swfn-worker", true) => format!("{}-cpu", facts.version),
        ("swfn-worker", false) => format!("{}-cuda", facts.version),
        _ => facts.version.clone(),
    };
    let problem =
        format!("tag `{tag}` instead of `{expected}`, with devices {:?}", container.devices());
    findings.ensure(tag == expected, "image", &place, problem);
}
