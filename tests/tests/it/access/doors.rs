//! Admission, and the messages for those who are refused.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use swfn_tests::{
    process::{Process, children, wait_until},
    sweep::Sweep,
};

use super::cluster::{ALL, ANN, Cluster, axes, wait_for};

/// Lists all descendants of a process.
fn descendants(process: u32) -> Vec<u32> {
    let children = children(process);
    let below: Vec<_> = children.iter().flat_map(|child| descendants(*child)).collect();
    [children, below].concat()
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries: Vec<_> =
        fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    entries
        .into_iter()
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

#[test]
fn certificates_and_a_token_protect_a_remote_sweep() {
    let cluster = Cluster::new(Sweep::new(&axes(3), 60));
    let mut coordinator =
        cluster.coordinator("coordinator", &format!("--listen 0.0.0.0:0 --http 127.0.0.1:0 {ALL}"));
    let address = cluster.sweep.address(&coordinator);
    let port = address.rsplit(':').next().unwrap();
    assert!(address.starts_with("https://"), "{address}");
    let mut worker = cluster.worker("worker", &format!("https://127.0.0.1:{port}"), ANN);
    coordinator.succeed();
    worker.succeed();
    assert_eq!(cluster.sweep.succeeded(), 3);
    let log = coordinator.stderr();
    // A busy machine may stall it, which does not concern access.
    let warned = |line: &str| line.contains("WARN") && !line.contains("stood still");
    assert!(!log.lines().any(warned), "it has all that it needs: {log}");
}

#[test]
fn workers_with_old_certificates_trust_renewed_ones() {
    let cluster = Cluster::new(Sweep::new(&axes(4), 60));
    let certs = |name: &str, authority: &str| {
        let authority = cluster.file(authority);
        cluster
            .certs(name, &["--hosts", "127.0.0.1", "--workers", "eve", "--authority", &authority])
    };
    certs("renewed", "pki").succeed();
    for file in ["ca.pem", "ca-key.pem", "token"] {
        assert_eq!(
            cluster.read(&format!("renewed/{file}")),
            cluster.read(&format!("pki/{file}")),
            "{file}"
        );
    }
    let options = ALL.replace("@pki/server", "@renewed/server");
    let mut coordinator =
        cluster.coordinator("coordinator", &format!("--listen 127.0.0.1:0 {options}"));
    let address = cluster.sweep.address(&coordinator);
    let mut workers =
        [("ann", ANN.to_owned()), ("eve", ANN.replace("pki/", "renewed/").replace("ann", "eve"))]
            .map(|(name, options)| cluster.worker(name, &address, &options));
    coordinator.succeed();
    workers.iter_mut().for_each(Process::succeed);
    let trained = cluster.sweep.query("SELECT count(DISTINCT worker) FROM result");
    assert_eq!((cluster.sweep.succeeded(), trained), (4, Some(2)));

    fs::remove_file(cluster.file("other/ca-key.pem")).unwrap();
    fs::copy(cluster.file("pki/ca-key.pem"), cluster.file("renewed/ca-key.pem")).unwrap();
    fs::copy(cluster.file("other/ca.pem"), cluster.file("renewed/ca.pem")).unwrap();
    for (number, (authority, problem)) in [
        ("missing", "with --authority"),
        ("other", "other/ca-key.pem`"),
        ("renewed", "does not belong to the key"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("refused-{number}");
        let mut refused = certs(&name, authority);
        assert_eq!(refused.wait(), Some(1));
        assert!(refused.stderr().contains(problem), "{}", refused.stderr());
        assert!(!Path::new(&cluster.file(&name)).exists(), "all or none");
    }
}

#[test]
fn local_workers_need_no_certificates_and_hide_tokens() {
    let cluster = Cluster::new(Sweep::new(&axes(2), 60).evaluated_every(15).slowed(500));
    let mut coordinator = cluster
        .coordinator("coordinator", &format!("--listen 127.0.0.1:0 --local-workers 2 {ALL}"));
    let token = cluster.token();
    wait_until("two leases", || {
        (cluster.sweep.query("SELECT count(*) FROM event") >= Some(2)).then_some(())
    });
    let processes = [vec![coordinator.id()], descendants(coordinator.id())].concat();
    assert!(processes.len() >= 4, "a supervisor and two workers: {processes:?}");
    for process in processes {
        let line = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
        assert!(line.contains("swfn") && !line.contains(&token), "{line:?}");
    }
    coordinator.succeed();
    assert_eq!(cluster.sweep.succeeded(), 2);
    let all = files(cluster.sweep.run_dir().parent().unwrap());
    let with_token = |path: &&std::path::PathBuf| {
        let content = fs::read(path).unwrap();
        content.windows(token.len()).any(|part| part == token.as_bytes())
    };
    let found: Vec<_> = all.iter().filter(with_token).collect();
    assert_eq!(found, [Path::new(&cluster.file("pki/token"))], "of {} files", all.len());
}

#[test]
fn an_untrusted_worker_stops_with_the_reason() {
    let cluster = Cluster::new(Sweep::new(&axes(1), 60));
    let mut coordinator =
        cluster.coordinator("coordinator", &format!("--listen 127.0.0.1:0 {ALL}"));
    let address = cluster.sweep.address(&coordinator);
    let by_name = address.replace("127.0.0.1", "localhost");
    let plain = address.replace("https", "http");
    fs::write(cluster.file("short"), "short\n").unwrap();
    let ca = "--tls-ca @pki/ca.pem";
    let certificate = "--tls-cert @pki/worker-ann.pem --tls-key @pki/worker-ann-key.pem";
    let foreign = "--tls-cert @other/worker-ann.pem --tls-key @other/worker-ann-key.pem";
    let (token, wrong) = ("--token-file @pki/token", "--token-file @other/token");
    let cases = [
        (
            &address,
            format!("{ca} {certificate}"),
            "the coordinator refuses this worker: a token is needed here",
        ),
        (
            &address,
            format!("{ca} {certificate} {wrong}"),
            "refuses this worker: the token is not this coordinator's",
        ),
        (&address, format!("{ca} {token}"), "misses this worker's certificate"),
        (&address, format!("{ca} {foreign} {token}"), "or does not trust it"),
        (
            &address,
            format!("--tls-ca @other/ca.pem {certificate} {token}"),
            "the coordinator's certificate is not trusted",
        ),
        (&by_name, format!("{ca} {certificate} {token}"), "not valid for name"),
        (&plain, token.to_owned(), "the coordinator speaks TLS"),
        (&address, token.to_owned(), "no authority is named"),
        (&address, format!("{ca} {certificate} --token-file @short"), "has `5` characters"),
        (
            &address,
            format!("{ca} --tls-cert @pki/worker-ann.pem --tls-key @pki/worker-bob-key.pem"),
            "does not belong to the key",
        ),
        (&address, "--tls-ca @missing.pem".to_owned(), "missing.pem`: No such file"),
        (&address, "--tls-ca @pki/token".to_owned(), "pki/token` holds no certificate"),
        (&plain, ca.to_owned(), "is reached without TLS"),
    ];
    let started: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(number, (address, options, _))| {
            cluster.worker(&format!("worker-{number}"), address, options)
        })
        .collect();
    for (mut worker, (_, options, message)) in started.into_iter().zip(&cases) {
        assert_eq!(worker.wait(), Some(1), "{options}: {}", worker.stderr());
        let output = worker.stderr();
        assert!(output.contains(message) && output.contains("hint: "), "{options}: {output}");
    }
    wait_for(&coordinator, "request refused: a token is needed here");
    assert_eq!(
        cluster.sweep.query("SELECT count(*) FROM worker"),
        Some(0),
        "none of them was admitted"
    );
    cluster.worker("good", &address, ANN).succeed();
    coordinator.succeed();
}

#[test]
fn without_tls_the_coordinator_warns_and_checks_tokens() {
    let cluster = Cluster::new(Sweep::new(&axes(1), 60));
    let mut coordinator =
        cluster.coordinator("coordinator", "--listen 127.0.0.1:0 --token-file @pki/token");
    let address = cluster.sweep.address(&coordinator);
    let mut wrong = cluster.worker("wrong", &address.replace("http", "https"), ANN);
    assert_eq!(wrong.wait(), Some(1));
    assert!(wrong.stderr().contains("the coordinator does not speak TLS"), "{}", wrong.stderr());
    // The token comes from the environment.
    let mut command = cluster.sweep.worker_command(&address, &[]);
    cluster.sweep.start(command.env("SWFN_TOKEN", cluster.token()), "right").succeed();
    coordinator.succeed();
}

#[test]
fn an_unsafe_coordinator_does_not_start() {
    let cluster = Cluster::new(Sweep::new(&axes(1), 60));
    let tls = "--tls-cert @pki/server.pem --tls-key @pki/server-key.pem";
    let cases = [
        ("--listen 0.0.0.0:0".to_owned(), 1, "neither encrypted nor authenticated"),
        ("--listen [::]:0 --token-file @pki/token".to_owned(), 1, "connections are not encrypted"),
        (
            format!("--listen 0.0.0.0:0 {tls} --tls-client-ca @pki/ca.pem"),
            1,
            "not authenticated by a token",
        ),
        (format!("{tls} --tls-client-ca @pki/token"), 1, "pki/token` holds no certificate"),
        (
            "--tls-cert @pki/server.pem --tls-key @other/server-key.pem".to_owned(),
            1,
            "does not belong to the key",
        ),
        (
            "--tls-cert @pki/server.pem --tls-key @pki/server.pem".to_owned(),
            1,
            "holds no private key",
        ),
        ("--tls-cert @pki/server.pem".to_owned(), 1, "--tls-cert is given, and --tls-key is not"),
        ("--tls-client-ca @pki/ca.pem".to_owned(), 1, "--tls-client-ca needs --tls-cert"),
        ("--token-file @missing".to_owned(), 1, "cannot read the token file"),
        ("--token-file @run/../grid.toml".to_owned(), 1, "a character that is neither"),
    ];
    for (number, (options, code, message)) in cases.iter().enumerate() {
        let mut coordinator = cluster.coordinator(&format!("coordinator-{number}"), options);
        assert_eq!(coordinator.wait(), Some(*code), "{options}: {}", coordinator.stderr());
        let output = coordinator.stderr();
        assert!(
            output.contains(message) && (*code == 2 || output.contains("hint: ")),
            "{options}: {output}"
        );
    }

    fs::set_permissions(cluster.file("pki/server-key.pem"), fs::Permissions::from_mode(0o644))
        .unwrap();
    let careless = cluster.coordinator("careless", &format!("--listen 0.0.0.0:0 --insecure {tls}"));
    cluster.sweep.address(&careless);
    let output = careless.stderr();
    assert!(
        output.contains("can read the private key") && output.contains("(mode 644)"),
        "{output}"
    );
    assert!(output.contains("not authenticated by a token"), "{output}");

    let before = cluster.token();
    let mut again = cluster.certs("pki", &["--hosts", "127.0.0.1"]);
    assert_eq!(again.wait(), Some(1));
    assert!(again.stderr().contains("exists, and nothing is overwritten"), "{}", again.stderr());
    assert_eq!(cluster.token(), before);
}
