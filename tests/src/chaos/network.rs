//! P9 between two hosts: network namespaces whose packets are dropped, in one direction or in both.

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::Duration,
};

use rand::RngExt as _;

use super::{
    cuts::assert_nothing_twice,
    judge::{EIGHT, grid, judge, slow},
    scenario::{Part, Skipped, Tally},
};
use crate::process::{Process, wait_until};

/// Two hosts, joined by a cable. Dropping them removes both.
struct Hosts {
    names: [String; 2],
}

const ADDRESSES: [&str; 2] = ["10.213.0.1", "10.213.0.2"];

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("`{program}`: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!(
            "`{program} {}`: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }
}

impl Hosts {
    fn new() -> Result<Self, String> {
        // Numbers the hosts, because several tests of one process may have some at the same time.
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let names = ["a", "b"].map(|side| format!("swfn-{side}-{}-{number}", std::process::id()));
        let hosts = Self { names };
        let [a, b] = &hosts.names;
        for name in [a, b] {
            run("ip", &["netns", "add", name])?;
        }
        run(
            "ip",
            &[
                "link", "add", "cable", "netns", a, "type", "veth", "peer", "name", "cable",
                "netns", b,
            ],
        )?;
        for (name, address) in hosts.names.iter().zip(ADDRESSES) {
            run("ip", &["-n", name, "addr", "add", &format!("{address}/24"), "dev", "cable"])?;
            run("ip", &["-n", name, "link", "set", "cable", "up"])?;
            run("ip", &["-n", name, "link", "set", "lo", "up"])?;
        }
        hosts.nft(
            1,
            "add table ip faults; add chain ip faults in { type filter hook input priority 0; }",
        )?;
        hosts.nft(1, "add chain ip faults out { type filter hook output priority 0; }")?;
        Ok(hosts)
    }

    /// Makes a command run on a host.
    fn on(&self, host: usize, command: &Command) -> Command {
        let mut there = Command::new("ip");
        there
            .args(["netns", "exec", &self.names[host]])
            .arg(command.get_program())
            .args(command.get_args());
        there
    }

    fn nft(&self, host: usize, rules: &str) -> Result<String, String> {
        run("ip", &["netns", "exec", &self.names[host], "nft", rules])
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            run("ip", &["netns", "del", name]).ok();
        }
    }
}

/// The number of finished trials after which no more cuts are made. A worker that misses the
/// sweep's end would wait for its coordinator.
const NEARLY_ALL: i64 = 6;

/// Counts the worker's connections.
fn connections(worker: &Process) -> usize {
    worker.stderr().lines().filter(|line| line.contains(" connected sweep=")).count()
}

/// Cuts the network for a second or more, but shorter than the lease. TCP survives the short cuts.
/// Every fourth one outlasts the 20 and 30 seconds for which both sides wait for a sign of life.
///
/// # Errors
/// If network namespaces or `nft` are missing.
pub fn cut_networks(part: Part) -> Result<Tally, Skipped> {
    let mut tally = Tally::default();
    let mut random = part.random();
    while part.left(&tally) > 0 {
        let hosts = Hosts::new()?;
        let sweep = slow(&grid(EIGHT, 150, "lease_seconds = 90"), 300);
        let listen = format!("{}:7077", ADDRESSES[0]);
        let coordinator = sweep.coordinator_command(&["--listen", &listen, "--insecure"]);
        let mut coordinator = sweep.start(&mut hosts.on(0, &coordinator), "coordinator");
        let url = sweep.address(&coordinator);
        let mut worker = sweep.start(&mut hosts.on(1, &sweep.worker_command(&url, &[])), "worker");
        let mut cuts = 0;
        while cuts < 3.min(part.left(&tally)) {
            let joined = wait_until("a worker or the end", || match coordinator.ended() {
                Some(_) => Some(false),
                None if sweep.succeeded() >= NEARLY_ALL => Some(false),
                None => (sweep.query("SELECT count(*) FROM worker") > Some(0)).then_some(true),
            });
            if !joined {
                break;
            }
            let chains: &[&str] = match random.random_range(0..3) {
                0 => &["in"],
                1 => &["out"],
                _ => &["in", "out"],
            };
            let long = (u64::from(part.seed) + tally.faults + cuts) % 4 == 1;
            let before = connections(&worker);
            for chain in chains {
                hosts.nft(1, &format!("add rule ip faults {chain} counter drop"))?;
            }
            let time = if long { 25_000..35_000 } else { 1_000..3_000 };
            sleep(Duration::from_millis(random.random_range(time)));
            let rules = hosts.nft(1, "list table ip faults")?;
            hosts.nft(1, "flush table ip faults")?;
            // A cut counts only if a packet was dropped.
            cuts += u64::from(
                rules.lines().any(|line| line.contains("drop") && !line.contains("packets 0 ")),
            );
            if long {
                wait_until("another connection after a long cut", || {
                    (connections(&worker) > before).then_some(())
                });
            }
            sleep(Duration::from_millis(random.random_range(500..1500)));
        }
        coordinator.succeed();
        worker.leave();
        assert_nothing_twice(&sweep);
        tally.add(Tally { faults: cuts, results: judge(&sweep), acknowledged: 0 });
    }
    Ok(tally)
}
