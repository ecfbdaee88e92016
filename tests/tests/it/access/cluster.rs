//! A sweep with certificates and a token, and a second, untrusted set of both.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command};

use swfn_tests::{
    process::{Process, wait_until},
    programs,
    sweep::Sweep,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// Returns axes of short trials of one shape.
pub(crate) fn axes(seeds: u32) -> String {
    format!("seed = {{ count = {seeds} }}\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0")
}

/// A sweep and its files.
pub(crate) struct Cluster {
    pub(crate) sweep: Sweep,
    folder: PathBuf,
}

impl Cluster {
    pub(crate) fn new(sweep: Sweep) -> Self {
        let folder = sweep.run_dir().parent().expect("it lies in a folder").to_owned();
        let cluster = Self { sweep, folder };
        for name in ["pki", "other"] {
            let mut made = cluster.certs(name, &["--hosts", "127.0.0.1", "--workers", "ann,bob"]);
            made.succeed();
            let commands = made.stdout();
            assert!(
                commands.contains("swfn-coordinator --grid")
                    && commands.contains("swfn-worker --coor"),
                "{commands}"
            );
        }
        cluster
    }

    /// Starts `swfn-coordinator certs` for a folder.
    pub(crate) fn certs(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(programs::folder().join("swfn-coordinator"));
        command.args(["certs", "--out"]).arg(self.folder.join(name)).args(arguments);
        Process::start(&mut command, &self.folder, &format!("certs-{name}"))
    }

    /// Returns the path of a file of this test, such as `pki/ca.pem`.
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn token(&self) -> String {
        self.read("pki/token").trim().to_owned()
    }

    /// Replaces `@NAME` with the path of that file.
    pub(crate) fn resolved(&self, options: &str) -> Vec<String> {
        let resolve = |word: &str| {
            word.strip_prefix('@').map_or_else(|| word.to_owned(), |name| self.file(name))
        };
        options.split_whitespace().map(resolve).collect()
    }

    /// Starts the coordinator with options in which `@NAME` names a file.
    pub(crate) fn coordinator(&self, name: &str, options: &str) -> Process {
        let options = self.resolved(options);
        self.sweep.coordinator(name, &options.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Starts a worker likewise.
    pub(crate) fn worker(&self, name: &str, address: &str, options: &str) -> Process {
        let options = self.resolved(options);
        self.sweep.worker(name, address, &options.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Connects with the certificate of that worker.
    pub(crate) async fn connect(&self, address: &str, worker: &str) -> Channel {
        let identity = Identity::from_pem(
            self.read(&format!("pki/worker-{worker}.pem")),
            self.read(&format!("pki/worker-{worker}-key.pem")),
        );
        let authority = Certificate::from_pem(self.read("pki/ca.pem"));
        let tls = ClientTlsConfig::new().ca_certificate(authority).identity(identity);
        let endpoint = Endpoint::from_shared(address.to_owned())
            .expect("a URL")
            .tls_config(tls)
            .expect("good files");
        endpoint.connect().await.expect("the coordinator listens")
    }
}

/// Options of a coordinator beyond loopback.
pub(crate) const ALL: &str = "--tls-cert @pki/server.pem --tls-key @pki/server-key.pem --tls-client-ca @pki/ca.pem --token-file @pki/token";

/// Options of a worker that is admitted there.
pub(crate) const ANN: &str = "--tls-ca @pki/ca.pem --tls-cert @pki/worker-ann.pem --tls-key @pki/worker-ann-key.pem --token-file @pki/token";

/// Reads the socket address from a URL.
pub(crate) fn socket(address: &str) -> SocketAddr {
    address
        .split("//")
        .nth(1)
        .and_then(|socket| socket.parse().ok())
        .expect("a URL with an IP address")
}

/// Waits until a process has logged that text.
pub(crate) fn wait_for(process: &Process, text: &str) {
    wait_until(text, || process.stderr().contains(text).then_some(()));
}
