//! Workers on this machine, started with the sweep and stopped with it.
//!
//! `swfn-worker` is its own supervisor, one process per device; this module only starts it and waits for it. Its standard input is a
//! pipe from here: when the coordinator is gone, however it went, the pipe closes and the workers end.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    net::Ipv4Addr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, ensure};
use swfn_access::{Access, listen};
use swfn_scheduler::turn::Holder;
use swfn_shared::{
    access::{TOKEN_VARIABLE, Token},
    files,
    ids::WorkerId,
    problem,
    problem::{OrProblem as _, Problem},
    telemetry::LogFormat,
    wire::STOP_LINE,
};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, ChildStdin, Command},
    time::timeout,
};

use crate::{
    arguments::LocalWorkers,
    grpc::{Door, Listener},
};

/// How worker ids of local workers begin; those of others begin with a host name, which never starts with a dot.
const PREFIX: &str = ".local:";

/// Time that workers have to give their leases back before they are killed.
const GRACE: Duration = Duration::from_secs(25);

/// Bytes of the log's end that are looked at when workers fail.
const LAST_WORDS: u64 = 8 << 10;

/// What workers read about access, and local ones must not take from this program's environment: there it is about the coordinator.
const WORKER_VARIABLES: [&str; 5] =
    ["SWFN_TLS_CA", "SWFN_TLS_CERT", "SWFN_TLS_KEY", "SWFN_TOKEN_FILE", TOKEN_VARIABLE];

/// Where local workers come in, and with what.
#[derive(Debug)]
pub(crate) struct LocalAccess {
    url: String,
    token: Option<Token>,
}

/// The file of a run directory with the token of a coordinator that has local workers and was given none.
pub(crate) const TOKEN_FILE: &str = "token";

/// A token for this run: in a file of its directory that only its owner can read.
pub(crate) fn run_token(run_dir: &Path) -> anyhow::Result<Token> {
    let (token, path) = (Token::random(), run_dir.join(TOKEN_FILE));
    let write =
        || files::create_with(&path, 0o600)?.write_all(format!("{}\n", token.reveal()).as_bytes());
    write().or_problem(|| Problem::unwritable(&path))?;
    Ok(token)
}

/// Whether others use this machine: whoever has a shell in the list of users, or a home that is not mine.
pub(crate) fn others_are_here() -> bool {
    let me = nix::unistd::Uid::effective().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let homes = std::fs::read_dir("/home")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|home| home.metadata().ok());
    others(&users, me)
        || homes.map(|home| home.uid()).any(|owner| owner != me && PERSONS.contains(&owner))
}

/// Numbers that systems give to persons.
const PERSONS: std::ops::Range<u32> = 1_000..60_000;

fn others(passwd: &str, me: u32) -> bool {
    passwd.lines().any(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let person = fields
            .get(2)
            .and_then(|uid| uid.parse().ok())
            .is_some_and(|uid| uid != me && PERSONS.contains(&uid));
        person
            && fields
                .get(6)
                .is_some_and(|shell| !["nologin", "false"].iter().any(|none| shell.ends_with(none)))
    })
}

/// The doors of a coordinator, and the one for local workers. That is the only one if whoever comes there needs the token. Where TLS is
/// demanded, they have no certificates, and need none; where nothing is, others may come in. Then they get a door of their own, which only
/// this machine can reach, with a token that only they know.
pub(crate) async fn doors(
    listener: Listener,
    access: Access,
    local_workers: bool,
) -> anyhow::Result<(Vec<Door>, LocalAccess)> {
    let door = |listener: &Listener, access: &Access| LocalAccess {
        url: format!("http://{}", listen::local_address(listener.address)),
        token: access.token.clone(),
    };
    let mut local = door(&listener, &access);
    let shared = access.tls.is_some() || access.token.is_none();
    let mut doors = vec![Door { listener, access, holder: Holder::Anyone }];
    if shared && local_workers {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), "--listen").await?;
        let access = Access { token: Some(Token::random()), ..Access::default() };
        local = door(&listener, &access);
        doors.push(Door { listener, access, holder: Holder::Local });
    }
    Ok((doors, local))
}

/// The supervisor of the local workers.
#[derive(Debug)]
pub(crate) struct LocalSupervisor {
    child: Child,
    /// Held open as long as this program lives. Taken out of the child, since waiting for the child would close it.
    stdin: Option<ChildStdin>,
    log: PathBuf,
}

/// Whether a worker was started by a coordinator of this run directory. When another coordinator holds the directory's lock, all those
/// have ended with the one that started them.
pub(crate) fn is_local(worker: &WorkerId) -> bool {
    worker.to_string().starts_with(PREFIX)
}

impl LocalSupervisor {
    /// Starts `swfn-worker` from the folder of this program.
    pub(crate) fn start(
        workers: LocalWorkers,
        access: &LocalAccess,
        data_dir: Option<&Path>,
        lanes: Option<u16>,
        logs: &Path,
        log_format: LogFormat,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe()
            .context("this program's own path is unknown")?
            .with_file_name("swfn-worker");
        ensure!(
            program.exists(),
            problem!(
                "`{}` is missing", program.display();
                "build it beside this program (`make build`), or start workers by hand"
            )
        );
        let log = logs.join("local-workers.log");
        let output = files::options().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("cannot write `{}`", log.display()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut command = Command::new(&program);
        command
            .arg("--coordinator")
            .arg(&access.url)
            .arg("--log-format")
            .arg(log_format.to_string())
            .arg("--devices")
            .arg(match workers {
                LocalWorkers::Auto => "auto".to_owned(),
                LocalWorkers::Count(count) => format!("auto:{count}"),
            })
            .arg("--local-to")
            .arg(format!("{PREFIX}{:x}-{:x}", std::process::id(), now.as_nanos() as u64))
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            // A terminal's Ctrl-C goes to the whole group; the workers shall be stopped in order, by this program.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(data_dir) = data_dir {
            command.arg("--data-dir").arg(data_dir);
        }
        if let Some(lanes) = lanes {
            command.arg("--lanes").arg(lanes.to_string());
        }
        for variable in WORKER_VARIABLES {
            command.env_remove(variable);
        }
        if let Some(token) = &access.token {
            // Not on the command line, which all users of this machine can read.
            command.env(TOKEN_VARIABLE, token.reveal());
        }
        let mut child =
            command.spawn().with_context(|| format!("cannot start `{}`", program.display()))?;
        Ok(Self { stdin: child.stdin.take(), child, log })
    }

    /// Waits until the supervisor ends by itself; says why when that is no success.
    pub(crate) async fn wait(&mut self) -> anyhow::Result<()> {
        let status = self.child.wait().await.context("cannot wait for the local workers")?;
        ensure!(
            status.success(),
            "the local workers ended ({}){}",
            describe(status),
            self.last_words()
        );
        Ok(())
    }

    fn last_words(&self) -> String {
        let text = end(&self.log).unwrap_or_default();
        let errors: Vec<_> = text.lines().rev().take(12).collect();
        let tail: Vec<_> = errors.into_iter().rev().collect();
        format!("; the end of `{}`:\n{}", self.log.display(), tail.join("\n"))
    }

    /// Asks the workers to give their leases back and leave, and kills them when they do not. Not by a signal: whoever signals all
    /// processes at once has sent them one, and two mean haste.
    pub(crate) async fn stop(mut self) {
        if let Some(stdin) = &mut self.stdin {
            // One that has just ended hears nothing.
            stdin.write_all(format!("{STOP_LINE}\n").as_bytes()).await.ok();
        }
        self.leave().await;
    }

    /// Waits for workers that have been told to leave, and kills them when they do not.
    pub(crate) async fn leave(mut self) {
        if timeout(GRACE, self.child.wait()).await.is_err() {
            self.child.kill().await.ok();
        }
    }
}

/// The end of a file, of which other runs may have written much, as text.
fn end(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(io::SeekFrom::Start(length.saturating_sub(LAST_WORDS)))?;
    let mut bytes = Vec::new();
    file.take(LAST_WORDS).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn describe(status: ExitStatus) -> String {
    status.code().map_or("killed by a signal".to_owned(), |code| format!("exit code {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_persons_with_a_shell() {
        let users = "root:x:0:0::/root:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert!(others(users, 0) && others(users, 1001) && !others(users, 1000));
    }

    #[test]
    fn only_the_end_of_a_log_is_read_whatever_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, [b"no \xff text\n".repeat(1_000), b"the end".to_vec()].concat())
            .unwrap();
        let read = end(&path).unwrap();
        assert!(read.ends_with("no \u{fffd} text\nthe end"), "{read}");
        // A byte that is none stands as three.
        assert!(read.len() as u64 <= 3 * LAST_WORDS, "{}", read.len());
        std::fs::write(&path, "short").unwrap();
        assert_eq!(end(&path).unwrap(), "short");
    }
}
