//! The memory limit of this process and its children, and how often the system has killed one for
//! lack of memory: the control groups of Linux, version 1 and 2, as containers, Slurm and systemd
//! set them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Memory of the coordinator and the supervisor, in bytes.
const BASE: u64 = 192 << 20;

/// Memory of a device process on a CPU, in bytes: libtorch, a data set of MNIST's size, a trial.
const WORKER: u64 = 208 << 20;

/// Larger limits count as none.
const NO_LIMIT: u64 = 1 << 60;

/// The control group of this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    /// The lowest limit of the group and those above it, in bytes.
    limit: Option<u64>,
    /// The file that counts kills.
    events: Option<PathBuf>,
}

impl Memory {
    /// The control group of this process.
    pub(crate) fn here() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::of(&groups, Path::new("/sys/fs/cgroup"))
    }

    fn of(groups: &str, root: &Path) -> Self {
        let found = groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (number, kinds, path) = (fields.next()?, fields.next()?, fields.next()?);
            let path = path.trim_start_matches('/');
            if number == "0" && root.join("cgroup.controllers").exists() {
                Some((root.to_owned(), path, "memory.max", "memory.events"))
            } else if kinds.split(',').any(|kind| kind == "memory") {
                Some((root.join("memory"), path, "memory.limit_in_bytes", "memory.oom_control"))
            } else {
                None
            }
        });
        let Some((top, path, limit, events)) = found else { return Self::default() };
        // In a container the path may be that of the host; the group is then at the top.
        let own = Some(top.join(path))
            .filter(|own| own.join(events).exists())
            .unwrap_or_else(|| top.clone());
        let above = own.ancestors().take_while(|folder| folder.starts_with(&top));
        let read = |folder: &Path| fs::read_to_string(folder.join(limit)).ok()?.trim().parse().ok();
        let limit = above.filter_map(read).filter(|bytes: &u64| *bytes < NO_LIMIT).min();
        Self { limit, events: Some(own.join(events)) }
    }

    /// Number of device processes on a CPU for which memory suffices, at least one; `None` without
    /// a limit.
    pub(crate) fn room(&self) -> Option<usize> {
        let room = self.limit?.saturating_sub(BASE) / WORKER;
        Some(usize::try_from(room).unwrap_or(usize::MAX).max(1))
    }

    /// How often the system has killed a process of this group for lack of memory.
    pub(crate) fn kills(&self) -> u64 {
        let text = self.events.as_ref().and_then(|file| fs::read_to_string(file).ok());
        let count = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse().ok();
        text.unwrap_or_default().lines().find_map(count).unwrap_or(0)
    }

    /// The limit as people read it.
    pub(crate) fn shown(&self) -> String {
        self.limit.map_or("what this machine has".to_owned(), |bytes| {
            format!("limited to {} MB", bytes / 1_000_000)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    }

    #[test]
    fn limits_of_both_versions_and_parents_count() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        group(&root.join("memory/a"), &[("memory.limit_in_bytes", "700000000\n")]);
        let events = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        group(
            &root.join("memory/a/b"),
            &[("memory.limit_in_bytes", "9223372036854771712\n"), ("memory.oom_control", events)],
        );
        let old = Memory::of("5:cpu:/\n8:memory:/a/b\n0::/\n", root);
        assert_eq!((old.limit, old.room(), old.kills()), (Some(700_000_000), Some(2), 3));
        group(
            root,
            &[
                ("cgroup.controllers", "memory\n"),
                ("memory.events", "oom 9\noom_kill 1\n"),
                ("memory.max", "max\n"),
            ],
        );
        group(
            &root.join("pod"),
            &[("memory.max", "100000000\n"), ("memory.events", "oom 9\noom_kill 4\n")],
        );
        let new = Memory::of("0::/pod\n", root);
        assert_eq!((new.limit, new.room(), new.kills()), (Some(100_000_000), Some(1), 4));
        // The path of the host does not exist here.
        let container = Memory::of("0::/kubepods/x\n", root);
        assert_eq!((container.limit, container.room(), container.kills()), (None, None, 1));
        assert_eq!(Memory::of("", root).room(), None);
    }
}
