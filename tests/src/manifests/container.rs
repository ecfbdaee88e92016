//! A container: its program, its arguments, its mounts.

use serde_json::Value;

use super::{
    node::{at, entries, list, text, texts},
    pod::Pod,
    rendering::Rendering,
};

/// A container of a pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Container<'a> {
    pub(super) pod: Pod<'a>,
    pub(super) value: &'a Value,
}

/// The volume at a path.
#[derive(Debug)]
pub(super) struct Mount<'a> {
    /// The path on which the volume is mounted.
    path: &'a str,
    pub(super) volume: Value,
    read_only: bool,
}

impl<'a> Container<'a> {
    pub(super) fn name(&self) -> &'a str {
        text(self.value, "/name")
    }

    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.pod.place(), self.name())
    }

    /// Returns its program: the first word of its command, or the name after the script of a shell.
    pub(super) fn program(&self) -> &'a str {
        match *texts(self.value, "/command") {
            ["/bin/sh", "-c", _, program] => program,
            [program, ..] => program,
            [] => "",
        }
    }

    /// Returns the options and their values.
    pub(super) fn arguments(&self) -> Vec<(&'a str, Option<&'a str>)> {
        texts(self.value, "/args").into_iter().map(option).collect()
    }

    /// Whether an option is given.
    pub(super) fn has(&self, option: &str) -> bool {
        self.arguments().iter().any(|(name, _)| *name == option)
    }

    /// Returns the value of an option.
    pub(super) fn argument(&self, option: &str) -> Option<&'a str> {
        self.arguments().into_iter().find(|(name, _)| *name == option).and_then(|(_, value)| value)
    }

    /// Names of its environment variables.
    pub(super) fn variables(&self) -> impl Iterator<Item = &'a str> {
        list(self.value, "/env").iter().map(|variable| text(variable, "/name"))
    }

    /// Returns the value of an environment variable.
    pub(super) fn variable(&self, name: &str) -> Option<&'a str> {
        let variable =
            list(self.value, "/env").iter().find(|variable| text(variable, "/name") == name)?;
        at(variable, "/value").as_str()
    }

    /// Returns the number of a named port.
    pub(super) fn port(&self, name: &str) -> Option<u64> {
        let port = list(self.value, "/ports").iter().find(|port| text(port, "/name") == name)?;
        at(port, "/containerPort").as_u64()
    }

    /// Whether it has a TLS certificate.
    pub(super) fn speaks_tls(&self) -> bool {
        self.variable("SWFN_TLS_CERT").is_some() || self.has("--tls-cert")
    }

    /// Returns its devices: extended resources and claims.
    pub(super) fn devices(&self) -> Vec<&'a str> {
        let extended = entries(self.value, "/resources/limits")
            .map(|(name, _)| name)
            .filter(|name| name.contains('/'));
        extended
            .chain(list(self.value, "/resources/claims").iter().map(|claim| text(claim, "/name")))
            .collect()
    }

    /// Returns the words of its preStop command, as a shell would see them.
    pub(super) fn hook(&self) -> Vec<&'a str> {
        let command = texts(self.value, "/lifecycle/preStop/exec/command");
        command.into_iter().flat_map(str::split_whitespace).collect()
    }

    /// Finds the volume at a path.
    pub(super) fn mount(&self, path: &str) -> Option<Mount<'a>> {
        let volumes = self.pod.volumes();
        let mounts = list(self.value, "/volumeMounts").iter().filter_map(|mount| {
            let (name, at_path) = (text(mount, "/name"), text(mount, "/mountPath"));
            let below = path
                .strip_prefix(at_path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            let read_only = at(mount, "/readOnly").as_bool().unwrap_or(false);
            below.then(|| Mount {
                path: at_path,
                volume: volumes.get(name).cloned().unwrap_or_default(),
                read_only,
            })
        });
        mounts.max_by_key(|mount| mount.path.len())
    }

    /// Says why a file that has to be there cannot be read; `None` if it can.
    pub(super) fn unreadable(&self, rendering: &Rendering, path: &str) -> Option<String> {
        let Some(mount) = self.mount(path) else {
            return Some(format!("`{path}` is on no volume"));
        };
        let key = path[mount.path.len()..].trim_start_matches('/');
        let (kind, name) = match (
            text(&mount.volume, "/secret/secretName"),
            text(&mount.volume, "/configMap/name"),
        ) {
            ("", "") => {
                return Some(format!("`{path}` is on a volume that has no files of its own"));
            }
            ("", name) => ("ConfigMap", name),
            (name, _) => ("Secret", name),
        };
        (!rendering.has_key(kind, name, key))
            .then(|| format!("`{path}`: {kind} {name} has no key `{key}`"))
    }

    /// Whether files can be written at a path.
    pub(super) fn can_write(&self, path: &str) -> bool {
        self.mount(path).is_some_and(|mount| {
            let writable = ["emptyDir", "persistentVolumeClaim"]
                .iter()
                .any(|kind| mount.volume.get(kind).is_some());
            writable && !mount.read_only
        })
    }
}

/// Splits `--name=value` or `--name` into name and value.
pub(super) fn option(word: &str) -> (&str, Option<&str>) {
    word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)))
}
