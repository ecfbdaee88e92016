//! Workers on this machine, started with the sweep and stopped with it.
//!
//! `swfn-worker` is its own supervisor, one process per device; this module only starts it and
//! waits for it. Its standard input is a pipe from here. However the coordinator ends, the pipe
//! closes, and the workers end.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    net::Ipv4Addr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail, ensure};
use swfn_access::{Access, listen};
use swfn_scheduler::turn::Holder;
use swfn_shared::{
    access::{TOKEN_VARIABLE, Token},
    files,
    ids::WorkerId,
    problem,
    problem::{OrProblem as _, Problem},
    wire::STOP_LINE,
};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, ChildStdin, Command},
    time::timeout,
};

use crate::{
    arguments::{LocalWorkers, SweepArguments},
    grpc::{Door, Listener},
};

/// The beginning of local workers' ids. Other ids begin with a host name, which has no leading dot.
const PREFIX: &str = ".local:";

/// Time for workers to return their leases before they are killed.
const GRACE: Duration = Duration::from_secs(25);

/// Bytes of the log's end that are read when workers fail.
const LOG_END: u64 = 8 << 10;

/// Variables that set up a worker's access. In this program's environment they are about the
/// coordinator, so local workers must not inherit them.
const WORKER_VARIABLES: [&str; 5] =
    ["SWFN_TLS_CA", "SWFN_TLS_CERT", "SWFN_TLS_KEY", "SWFN_TOKEN_FILE", TOKEN_VARIABLE];

/// User ids that systems give to persons.
const PERSONS: std::ops::Range<u32> = 1_000..60_000;

/// The address and token of local workers.
#[derive(Debug)]
pub(crate) struct LocalAccess {
    url: String,
    token: Option<Token>,
}

/// The file in a run directory with the token that the coordinator made itself.
pub(crate) const TOKEN_FILE: &str = "token";

/// Makes a token for this run, in a file that only its owner can read.
pub(crate) fn run_token(run_dir: &Path) -> anyhow::Result<Token> {
    let (token, path) = (Token::random(), run_dir.join(TOKEN_FILE));
    let write =
        || files::create_with(&path, 0o600)?.write_all(format!("{}\n", token.reveal()).as_bytes());
    write().or_problem(|| Problem::unwritable(&path))?;
    Ok(token)
}

/// Whether this machine has other users: persons with a shell in the list of users, or with a home.
pub(crate) fn has_other_users() -> bool {
    let me = nix::unistd::Uid::effective().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let homes = std::fs::read_dir("/home").into_iter().flatten().flatten();
    let mut owners = homes.filter_map(|home| home.metadata().ok()).map(|home| home.uid());
    lists_others(&users, me) || owners.any(|owner| owner != me && PERSONS.contains(&owner))
}

fn lists_others(passwd: &str, me: u32) -> bool {
    passwd.lines().any(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, uid, _, _, _, shell, ..] = fields[..] else { return false };
        uid.parse().is_ok_and(|uid| uid != me && PERSONS.contains(&uid))
            && !["nologin", "false"].iter().any(|none| shell.ends_with(none))
    })
}

/// The doors of a coordinator, and the access of local workers.
///
/// One door is enough if it needs a token and no TLS. Otherwise local workers get a door of their
/// own, which only this machine can reach, with a token of their own: they have no certificates,
/// and a door without a token is open to others.
pub(crate) async fn doors(
    listener: Listener,
    access: Access,
    has_local_workers: bool,
) -> anyhow::Result<(Vec<Door>, LocalAccess)> {
    let is_shared = access.tls.is_some() || access.token.is_none();
    let mut doors = vec![Door { listener, access, holder: Holder::Anyone }];
    if is_shared && has_local_workers {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), "--listen").await?;
        let access = Access { token: Some(Token::random()), ..Access::default() };
        doors.push(Door { listener, access, holder: Holder::Local });
    }
    let Door { listener, access, .. } = &doors[doors.len() - 1];
    let url = format!("http://{}", listen::local_address(listener.address));
    let local = LocalAccess { url, token: access.token.clone() };
    Ok((doors, local))
}

#[derive(Debug)]
pub(crate) struct LocalSupervisor {
    child: Child,
    /// Open as long as this program runs. Waiting for the child would close its own.
    stdin: Option<ChildStdin>,
    log: PathBuf,
}

/// Whether a worker was started by a coordinator of this run directory. A coordinator that holds
/// the directory's lock knows that former local workers have ended with their coordinator.
pub(crate) fn is_local(worker: &WorkerId) -> bool {
    worker.to_string().starts_with(PREFIX)
}

impl LocalSupervisor {
    /// Starts `swfn-worker` from the folder of this program.
    pub(crate) fn start(
        workers: LocalWorkers,
        access: &LocalAccess,
        arguments: &SweepArguments,
        logs: &Path,
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
            .args(["--coordinator", &access.url])
            .args(["--log-format", &arguments.log_format.to_string()])
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
            // A terminal's Ctrl-C goes to the whole group; but this program stops the workers.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(data_dir) = &arguments.data_dir {
            command.arg("--data-dir").arg(data_dir);
        }
        if let Some(lanes) = arguments.lanes {
            command.args(["--lanes", &lanes.to_string()]);
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

    /// Waits until the supervisor ends by itself; an error has the end of its log.
    pub(crate) async fn wait(&mut self) -> anyhow::Result<()> {
        let status = self.child.wait().await.context("cannot wait for the local workers")?;
        if status.success() {
            return Ok(());
        }
        let end =
            status.code().map_or("killed by a signal".to_owned(), |c| format!("exit code {c}"));
        let text = read_end(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(12)..].join("\n");
        bail!("the local workers ended ({end}); the end of `{}`:\n{last}", self.log.display())
    }

    /// Asks the workers to return their leases and leave, and kills them if they do not. It sends
    /// no signal: another program may have signalled all processes, and two signals mean haste.
    pub(crate) async fn stop(mut self) {
        if let Some(stdin) = &mut self.stdin {
            // Fails if the supervisor has just ended.
            stdin.write_all(format!("{STOP_LINE}\n").as_bytes()).await.ok();
        }
        self.leave().await;
    }

    /// Waits for workers that were told to leave, and kills them if they do not.
    pub(crate) async fn leave(mut self) {
        if timeout(GRACE, self.child.wait()).await.is_err() {
            self.child.kill().await.ok();
        }
    }
}

/// The end of a file as text. Other runs may have written much of it.
fn read_end(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(io::SeekFrom::Start(length.saturating_sub(LOG_END)))?;
    let mut bytes = Vec::new();
    file.take(LOG_END).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_users_are_persons_with_a_shell() {
        let users = "root:x:0:0::/root:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert!(lists_others(users, 0) && lists_others(users, 1001) && !lists_others(users, 1000));
    }

    #[test]
    fn only_the_end_of_a_log_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, [b"no \xff text\n".repeat(1_000), b"the end".to_vec()].concat())
            .unwrap();
        let read = read_end(&path).unwrap();
        assert!(read.ends_with("no \u{fffd} text\nthe end"), "{read}");
        // An invalid byte becomes three.
        assert!(read.len() as u64 <= 3 * LOG_END, "{}", read.len());
        std::fs::write(&path, "short").unwrap();
        assert_eq!(read_end(&path).unwrap(), "short");
    }
}
