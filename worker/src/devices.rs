//! The `--devices` list: from the user's text to one device name per process.

use anyhow::{bail, ensure};
use swfn_shared::{problem, quote::quote};
use tracing::warn;

use crate::{cgroup::Memory, device};

/// Most processes on one machine. A larger number is a mistake.
const MAX_PROCESSES: usize = 1_024;

/// One device name for each process. A requested GPU that is missing is an error.
pub(crate) fn resolve(list: &str) -> anyhow::Result<Vec<String>> {
    let gpus = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let memory = Memory::here();
    let names = expand(list, gpus, cores, memory.room())?;
    let auto = gpus == 0 && list.contains("auto");
    if let Some(room) = memory.room().filter(|room| auto && *room < cores) {
        warn!(
            "memory is {}: `auto` takes {room} processes at most\nhint: `--devices cpu:N` insists on N",
            memory.shown()
        );
    }
    if auto && tch::utils::has_cudart() {
        warn!(
            "CUDA finds no GPU, so `--devices {list}` takes the CPUs\nhint: `nvidia-smi` shows what \
             the driver sees; with `--devices cuda` this would be an error"
        );
    }
    for name in names.iter().filter(|name| *name != "cpu") {
        device::open(name)?;
    }
    Ok(names)
}

/// Expands the list. `room`: most processes that `auto` starts on a CPU, since memory has no room
/// for more.
pub(crate) fn expand(
    list: &str,
    gpus: usize,
    cores: usize,
    room: Option<usize>,
) -> anyhow::Result<Vec<String>> {
    let all_gpus = || (0..gpus).map(|index| format!("cuda:{index}")).collect::<Vec<_>>();
    let mut names = Vec::new();
    for entry in list.split(',').map(str::trim) {
        let (kind, number) =
            entry.split_once(':').map_or((entry, None), |(kind, number)| (kind, Some(number)));
        let Ok(number) = number.map(str::parse::<usize>).transpose() else {
            bail!(problem!("device {} has no number after the colon", quote(entry); "{HINT}"))
        };
        match (kind, number) {
            ("auto" | "cpu", Some(0)) => {
                bail!(problem!("device `{entry}` has no process"; "{HINT}"))
            }
            ("auto" | "cpu", Some(count)) if count > MAX_PROCESSES => {
                bail!(problem!("device `{entry}`: more than {MAX_PROCESSES} processes"; "{HINT}"))
            }
            ("auto", most) if gpus > 0 => {
                names.extend(all_gpus().into_iter().take(most.unwrap_or(gpus)))
            }
            ("auto", count) => {
                let count = count.unwrap_or(cores).min(room.unwrap_or(usize::MAX));
                names.extend(vec!["cpu".to_owned(); count]);
            }
            ("cpu", count) => names.extend(vec!["cpu".to_owned(); count.unwrap_or(1)]),
            // Opening it reports what is missing.
            ("cuda", None) if gpus == 0 => names.push("cuda:0".to_owned()),
            ("cuda", None) => names.extend(all_gpus()),
            ("cuda", Some(index)) => names.push(format!("cuda:{index}")),
            _ => bail!(problem!("device {} is unknown", quote(entry); "{HINT}")),
        }
        ensure!(
            names.len() <= MAX_PROCESSES,
            problem!("`--devices` asks for more than {MAX_PROCESSES} processes"; "{HINT}")
        );
    }
    for (index, name) in names.iter().enumerate() {
        ensure!(
            name == "cpu" || !names[..index].contains(name),
            problem!(
                "device `{name}` stands twice in {}", quote(list);
                "name each GPU once, since one process drives it"
            )
        );
    }
    Ok(names)
}

const HINT: &str = "use auto, auto:2, cpu, cpu:4, cuda, or cuda:0,cuda:1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_expanded() {
        let names = |list, gpus| expand(list, gpus, 3, None).unwrap().join(" ");
        assert_eq!(names("auto", 0), "cpu cpu cpu");
        assert_eq!(names("auto", 2), "cuda:0 cuda:1");
        assert_eq!(names("auto:1", 2), "cuda:0");
        assert_eq!(names("auto:5", 2), "cuda:0 cuda:1");
        assert_eq!(names("auto:5", 0), "cpu cpu cpu cpu cpu");
        assert_eq!(names("cpu", 2), "cpu");
        let narrow = |list, gpus| expand(list, gpus, 3, Some(2)).unwrap().len();
        assert_eq!(
            [narrow("auto", 0), narrow("auto:8", 0), narrow("auto:1", 0), narrow("cpu:8", 0)],
            [2, 2, 1, 8]
        );
        assert_eq!(narrow("auto", 3), 3, "GPUs have memory of their own");
        assert_eq!(names("cpu:2, cuda:1", 2), "cpu cpu cuda:1");
        assert_eq!(names("cuda", 2), "cuda:0 cuda:1");
        assert_eq!(names("cuda", 0), "cuda:0");
    }

    #[test]
    fn wrong_lists_are_refused_with_a_hint() {
        let cases = [
            "",
            "gpu",
            "cpu:0",
            "auto:0",
            "cpu:x",
            "cpu:-1",
            "cuda:0,cuda:0",
            "cpu,,cpu",
            "cpu:99999999",
        ];
        // Each entry alone is allowed.
        let many = ["cpu:1000"; 10_000].join(",");
        for wrong in cases.into_iter().chain([many.as_str()]) {
            let error = expand(wrong, 2, 3, None).unwrap_err().to_string();
            assert!(error.contains("hint: "), "{error}");
        }
    }

    #[test]
    fn a_missing_gpu_is_an_error() {
        let error = resolve("cuda:127").unwrap_err().to_string();
        assert!(error.contains("`cuda:127` is not there"), "{error}");
    }
}
