//! A process under test: its output in files, a time limit on everything that waits for it, and no survivors.

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

/// Environment variable with [`limit`] in seconds: less will do where tests are meant to fail, more is needed where many run at a time.
pub const LIMIT: &str = "SWFN_TEST_LIMIT";

/// Nothing in these tests takes so long on two cores unless it hangs.
pub fn limit() -> Duration {
    static SAID: OnceLock<Duration> = OnceLock::new();
    *SAID.get_or_init(|| {
        let seconds = std::env::var(LIMIT).ok().and_then(|text| text.parse().ok());
        Duration::from_secs(seconds.unwrap_or(180))
    })
}

const POLL: Duration = Duration::from_millis(20);

/// Waits until `ready` gives something.
///
/// # Panics
/// After [`limit`], with the description of what was awaited.
pub fn wait_until<T>(what: &str, ready: impl FnMut() -> Option<T>) -> T {
    poll(limit(), ready).unwrap_or_else(|| panic!("waited {:?} in vain for {what}", limit()))
}

/// Waits until `ready` gives something, which is promised to happen within that time, whatever the machine.
///
/// # Panics
/// When it has not happened, with what that means.
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

/// So long a worker takes, at most, to hear that its sweep is over, or to notice that its connection leads nowhere: that is half a minute.
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

    /// The same with its output elsewhere: what it prints on either cannot be read here then.
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

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed on standard output so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// What it has printed on standard error so far.
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

    /// Whether it has ended.
    ///
    /// # Panics
    /// If the process cannot be waited for.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end and returns its exit code; `None` when a signal ended it.
    ///
    /// # Panics
    /// When it does not end within [`limit`].
    pub fn wait(&mut self) -> Option<i32> {
        let ended = poll(limit(), || self.child.try_wait().expect("a child can be waited for"));
        ended
            .unwrap_or_else(|| {
                panic!("still running after {:?}; it last said:\n{}", limit(), tail(&self.stderr()))
            })
            .code()
    }

    /// Waits for its end, which must be a success.
    ///
    /// # Panics
    /// When it ends otherwise.
    pub fn succeed(&mut self) {
        let code = self.wait();
        assert_eq!(code, Some(0), "it said:\n{}", tail(&self.stderr()));
    }

    /// Waits for the end of a worker whose sweep is over. Whoever had no connection then has not heard of it and waits for a coordinator,
    /// for an hour: it is asked to stop, in order. Returns whether it had heard.
    ///
    /// # Panics
    /// When it does not succeed, or stays although it has a connection.
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

/// Living children of a process.
///
/// # Panics
/// If `/proc` cannot be read.
pub fn children(parent: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc is there").flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse() else { continue };
        let Ok(status) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // After the name, which stands in parentheses: the state, then the parent.
        let mut fields = status.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, of) = (fields.next(), fields.next());
        if state != Some("Z") && of == Some(&parent.to_string()) {
            children.push(id);
        }
    }
    children
}

/// Sends a signal to a process and to all that it has started, as Slurm and systemd do: whoever has ended meanwhile is passed over.
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

/// Memory of a process that is in use, in KiB; `None` once it has ended.
pub fn resident(process: &Process) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
