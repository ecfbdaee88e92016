//! The `--devices` list: from what the user wrote to one name per process.

use anyhow::{bail, ensure};
use swfn_shared::{problem, quote::quote};
use tracing::warn;

use crate::{cgroup::Memory, device};

/// Processes on one machine beyond which a number is surely a mistake.
const MAX_PROCESSES: usize = 1_024;

/// One device name for each process. A GPU that was asked for and is not there is an error.
pub(crate) fn resolve(list: &str) -> anyhow::Result<Vec<String>> {
    let gpus = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let memory = Memory::here();
    let names = expand(list, gpus, cores, memory.room())?;
    if let Some(room) =
        memory.room().filter(|room| gpus == 0 && list.contains("auto") && *room < cores)
    {
        warn!(
            "memory is {}: `auto` takes {room} processes at most\nhint: `--devices cpu:N` insists on N",
            memory.shown()
        );
    }
    if gpus == 0 && tch::utils::has_cudart() && list.contains("auto") {
        warn!(
            "CUDA finds no GPU, so `--devices {list}` takes the CPUs\nhint: `nvidia-smi` shows what the driver sees; with `--devices cuda` \
             this would be an error"
        );
    }
    for name in names.iter().filter(|name| *name != "cpu") {
        device::open(name)?;
    }
    Ok(names)
}

/// `room`: processes that memory suffices for, which `auto` does not exceed on a CPU.
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
        let number = match number.map(str::parse::<usize>) {
            None => None,
            Some(Ok(number)) => Some(number),
            Some(Err(_)) => {
                bail!(
                    problem!("device {}: what follows the colon is not a number", quote(entry); "{HINT}")
                )
            }
        };
        match (kind, number) {
            ("auto" | "cpu", Some(0)) => {
                bail!(problem!("device `{entry}` is no process at all"; "{HINT}"))
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
            // Without a GPU the name goes through as it is, so that opening it says what is missing.
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
        let twice = name != "cpu" && names[..index].contains(name);
        ensure!(
            !twice,
            problem!(
                "device `{name}` stands twice in {}", quote(list);
                "one process drives a GPU alone"
            )
        );
    }
    Ok(names)
}

const HINT: &str = "auto, auto:2, cpu, cpu:4, cuda, or cuda:0,cuda:1";

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
        // One by one they are few enough.
        let many = ["cpu:1000"; 10_000].join(",");
        for wrong in cases.into_iter().chain([many.as_str()]) {
            let error = expand(wrong, 2, 3, None).unwrap_err().to_string();
            assert!(error.contains("hint: "), "{error}");
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error() {
        let error = resolve("cuda:127").unwrap_err().to_string();
        assert!(error.contains("`cuda:127` is not there"), "{error}");
    }
}
