//! A process under test: its output goes to files, every wait has a limit, and no process survives
//! its test.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Environment variable with [`limit`] in seconds. Tests that are meant to fail need less, crowded
/// machines more.
pub const LIMIT: &str = "SWFN_TEST_LIMIT";

/// Returns the time that no wait of these tests reaches on two cores unless something hangs.
pub fn limit() -> Duration {
    static CHOSEN: OnceLock<Duration> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let seconds = std::env::var(LIMIT).ok().and_then(|text| text.parse().ok());
        Duration::from_secs(seconds.unwrap_or(180))
    })
}

/// Pause between two looks. Each look may open a database or read a log, on cores that tests share.
const POLL: Duration = Duration::from_millis(50);

/// Waits until `ready` returns a value.
///
/// # Panics
/// After [`limit`], with the description of the awaited value.
pub fn wait_until<T>(what: &str, ready: impl FnMut() -> Option<T>) -> T {
    poll(limit(), ready).unwrap_or_else(|| panic!("waited {:?} in vain for {what}", limit()))
}

/// Waits until `ready` returns a value, which is promised to happen within that time on any
/// machine.
///
/// # Panics
/// If it has not happened, with the broken promise.
pub fn within<T>(limit: Duration, broken: &str, ready: impl FnMut() -> Option<T>) -> T {
    poll(limit, ready).unwrap_or_else(|| panic!("{broken}: not within {limit:?}"))
}

fn poll<T>(limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(value) = ready() {
            return Some(value);
        }
        sleep(POLL);
    }
    None
}

/// Time within which a worker hears that its sweep is over, or notices a dead connection; the limit
/// itself is half a minute.
const HEARD: Duration = Duration::from_secs(60);

/// A started program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts the command with its output in `folder/name.{out,err}`; standard input stays empty.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn start(command: &mut Command, folder: &Path, name: &str) -> Self {
        let (stdout, stderr) =
            (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        let file = |path| File::create(path).expect("the test's folder can be written");
        let child =
            command.stdin(Stdio::null()).stdout(file(&stdout)).stderr(file(&stderr)).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, stdout, stderr }
    }

    /// Starts the command with its output elsewhere; it cannot be read here then.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn start_with(
        command: &mut Command,
        stdout: Option<Stdio>,
        stderr: Option<Stdio>,
        folder: &Path,
    ) -> Self {
        let paths = ["out", "err"].map(|name| folder.join(format!("elsewhere.{name}")));
        let file = |path: &PathBuf| {
            Stdio::from(File::create(path).expect("the test's folder can be written"))
        };
        let (out, err) =
            (stdout.unwrap_or_else(|| file(&paths[0])), stderr.unwrap_or_else(|| file(&paths[1])));
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let [stdout, stderr] = paths;
        Self { child, stdout, stderr }
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns its standard output so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// Returns its standard error so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) {
        send(self.id(), signal);
    }

    /// Returns its exit status if it has ended.
    ///
    /// # Panics
    /// If the process cannot be waited for.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end and returns its exit code; `None` if a signal ended it.
    ///
    /// # Panics
    /// When it does not end within [`limit`].
    pub fn wait(&mut self) -> Option<i32> {
        let ended = poll(limit(), || self.child.try_wait().expect("a child can be waited for"));
        ended
            .unwrap_or_else(|| {
                panic!(
                    "still running after {:?}; its log ends with:\n{}",
                    limit(),
                    tail(&self.stderr())
                )
            })
            .code()
    }

    /// Waits for its end, which must be a success.
    ///
    /// # Panics
    /// If it ends otherwise.
    pub fn succeed(&mut self) {
        let code = self.wait();
        assert_eq!(code, Some(0), "its log ends with:\n{}", tail(&self.stderr()));
    }

    /// Waits for the end of a worker whose sweep is over. A worker without a connection has not
    /// heard of the end and would wait for an hour, so it is asked to stop. Returns whether it had
    /// heard.
    ///
    /// # Panics
    /// If it fails, or stays although it has a connection.
    pub fn leave(&mut self) -> bool {
        let heard = poll(HEARD, || self.ended()).is_some();
        if !heard {
            let log = self.stderr();
            let newest = log.lines().rfind(|line| {
                ["connected sweep=", "no connection:"].iter().any(|word| line.contains(word))
            });
            assert!(
                newest.is_some_and(|line| line.contains("no connection:")),
                "it stays, connected:\n{}",
                tail(&log)
            );
            self.signal(Signal::SIGTERM);
        }
        self.succeed();
        heard
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends a signal to any process.
///
/// # Panics
/// If it is gone.
pub fn send(process: u32, signal: Signal) {
    let id = i32::try_from(process).expect("process ids are small");
    kill(Pid::from_raw(id), signal)
        .unwrap_or_else(|error| panic!("process {process} cannot get {signal}: {error}"));
}

/// Lists the living children of a process.
///
/// # Panics
/// If `/proc` cannot be read.
pub fn children(parent: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc is there").flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse() else { continue };
        let Ok(status) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // After the name, which is in parentheses, come the state and the parent.
        let mut fields = status.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, of) = (fields.next(), fields.next());
        if state != Some("Z") && of == Some(&parent.to_string()) {
            children.push(id);
        }
    }
    children
}

/// Sends a signal to a process and all its descendants, as Slurm and systemd do. Processes that
/// have ended are skipped.
///
/// # Panics
/// If `/proc` cannot be read.
pub fn send_to_all(process: u32, signal: Signal) {
    let started = children(process);
    kill(Pid::from_raw(process.cast_signed()), signal).ok();
    for child in started {
        send_to_all(child, signal);
    }
}

/// Returns the resident memory of a process in KiB; `None` once it has ended.
pub fn resident(process: &Process) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
