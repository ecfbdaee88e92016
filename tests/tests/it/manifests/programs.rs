//! The programs' own interfaces, and whether the programs accept the pods' command lines.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use nix::sys::signal::Signal;
use swfn_tests::{
    manifests::{Facts, Interface, Rendering},
    process::{send, wait_until},
    programs,
};

/// The source file with the coordinator's names of metrics.
const METRICS: &str = include_str!("../../../../coordinator/dashboard/src/metrics.rs");

/// Programs and subcommands that manifests may use.
const COMMANDS: [&[&str]; 3] = [&["swfn-coordinator"], &["swfn-worker"], &["swfn-worker", "drain"]];

/// Reads the facts from the programs themselves.
pub(crate) fn facts() -> Facts {
    let mut facts = Facts { version: env!("CARGO_PKG_VERSION").to_owned(), ..Facts::default() };
    for words in COMMANDS {
        let output = Command::new(programs::folder().join(words[0]))
            .args(&words[1..])
            .arg("--help")
            .output()
            .unwrap();
        let interface = Interface::from_help(&String::from_utf8(output.stdout).unwrap());
        assert!(interface.options.len() > 3, "{words:?} tells too little: {interface:?}");
        facts.interfaces.insert(words.join(" "), interface);
    }
    facts.learn_metrics(METRICS);
    let labels = facts.label_values.values().all(|values| values.len() >= 4);
    assert!(facts.metrics.len() > 15 && labels, "the file of metrics tells too little: {facts:?}");
    facts
}

/// Returns program and arguments of each container, without the shell around them, and the grid.
pub(crate) fn commands(rendering: &Rendering) -> Vec<(Vec<String>, String)> {
    let grids =
        rendering.by_kind("ConfigMap").filter_map(|map| map.pointer("/data/grid.toml")?.as_str());
    let grid: String = grids.collect();
    let workloads =
        ["StatefulSet", "Deployment", "Job"].into_iter().flat_map(|kind| rendering.by_kind(kind));
    let containers = workloads
        .flat_map(|owner| owner["spec"]["template"]["spec"]["containers"].as_array().unwrap());
    let words = |container: &serde_json::Value| {
        let parts =
            ["command", "args"].into_iter().flat_map(|part| container[part].as_array().unwrap());
        parts
            .map(|word| word.as_str().unwrap().to_owned())
            .skip_while(|word| !word.starts_with("swfn-"))
            .collect()
    };
    containers.map(|container| (words(container), grid.clone())).collect()
}

/// Starts a container's command in such a way that it ends after reading its arguments.
///
/// # Panics
/// If it does not accept them.
pub(crate) fn try_out((words, grid): &(Vec<String>, String), name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("grid.toml");
    fs::write(&file, grid).unwrap();
    let mut command = Command::new(programs::folder().join(&words[0]));
    let mut arguments = words[1..].to_vec();
    let expected = if words[0] == "swfn-coordinator" {
        for argument in arguments.iter_mut().filter(|argument| argument.starts_with("--grid=")) {
            *argument = format!("--grid={}", file.display());
        }
        arguments.push("--dry-run".to_owned());
        0
    } else {
        // Wrong usage would end with 2, before the address is read.
        command.env("SWFN_COORDINATOR", "nowhere");
        1
    };
    let output = command.args(&arguments).current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(expected), "{name}: {words:?}: {text}");
    assert!(expected == 0 || text.contains("nowhere"), "{name}: {words:?}: {text}");
}

/// Returns the exit codes of the Job's script in three cases: its worker is done, has no
/// coordinator, or stops when asked to.
pub(crate) fn endings(script: &str) -> [Option<i32>; 3] {
    const WORKER: &str = "#!/bin/sh\nif [ \"$1\" != stays ]; then exit \"$1\"; fi\n\
                          trap 'exit 0' TERM\ntouch began\nwhile :; do sleep 0.1; done\n";
    ["0", "69", "stays"].map(|what| {
        let folder = tempfile::tempdir().unwrap();
        let worker = folder.path().join("swfn-worker");
        fs::write(&worker, WORKER).unwrap();
        fs::set_permissions(&worker, fs::Permissions::from_mode(0o755)).unwrap();
        let script =
            script.replace("/tmp/asked", &folder.path().join("asked").display().to_string());
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &script, "swfn-worker", what])
            .env("PATH", path)
            .current_dir(folder.path());
        let mut child = command.spawn().unwrap();
        if what == "stays" {
            wait_until("the worker", || folder.path().join("began").exists().then_some(()));
            send(child.id(), Signal::SIGTERM);
        }
        child.wait().unwrap().code()
    })
}
