//! Refusals of the dashboard: to people without a token, and to foreign pages in a user's browser.

use std::fs;

use swfn_tests::{
    page::ask,
    sweep::{Sweep, from_here},
};

use super::{AXES, DOORS};

const TOKEN: &str = "an-example-of-a-token-for-tests-0";
/// `ann:` and the token, in base64.
const BASIC: &str = "authorization: Basic YW5uOmFuLWV4YW1wbGUtb2YtYS10b2tlbi1mb3ItdGVzdHMtMA==";

#[test]
fn foreign_host_names_and_origins_are_refused() {
    let sweep = Sweep::new(AXES, 60);
    let coordinator =
        sweep.coordinator("coordinator", &[&DOORS[..], &["--http-host", "Lab.Example"]].concat());
    let page = sweep.dashboard(&coordinator);
    let of = |headers: &[&str]| ask(&page, "/api/v1/sweep", headers).status;
    for host in ["localhost", "127.0.0.1:1", "[::1]", "lab.example:443"] {
        assert_eq!(of(&[&format!("host: {host}")]), 200, "{host}");
    }
    for host in [
        "evil.example",
        "lab.example.evil.example",
        "10.0.0.1",
        "localhost@evil.example",
        "169.254.169.254",
    ] {
        assert_eq!(of(&[&format!("host: {host}")]), 421, "{host}");
    }
    assert_eq!(of(&["host: localhost", "host: evil.example"]), 400);
    assert_eq!(of(&["origin: http://evil.example"]), 403);
    assert_eq!(of(&["origin: null"]), 403);
    assert_eq!(of(&[&format!("origin: http://{page}")]), 200);
    assert_eq!(
        of(&["sec-fetch-site: cross-site", "sec-fetch-mode: no-cors", "sec-fetch-dest: script"]),
        403
    );
    assert_eq!(of(&["content-length: 2"]), 400);
    assert_eq!(of(&["transfer-encoding: chunked"]), 400);
    assert_eq!(
        of(&[&format!("x: {}", "y".repeat(17 << 10))]),
        431,
        "more headers than anybody needs"
    );
    assert_eq!(ask(&page, &format!("/?{}", "x".repeat(4_000)), &[]).status, 414);
    let answer = ask(&page, "/", &[]);
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'",
        "frame-ancestors 'none'",
        "nosniff",
    ] {
        assert!(answer.head.contains(header), "{}", answer.head);
    }
    assert!(!answer.head.contains("access-control"));
    assert!(
        coordinator.stderr().contains("request for the dashboard refused"),
        "{}",
        coordinator.stderr()
    );
}

#[test]
fn without_the_token_the_dashboard_reveals_nothing() {
    let sweep = Sweep::new(AXES, 60);
    let file = sweep.folder().join("token");
    fs::write(&file, TOKEN).unwrap();
    let file = file.display().to_string();
    let coordinator =
        sweep.coordinator("coordinator", &[&DOORS[..], &["--token-file", &file]].concat());
    let page = sweep.dashboard(&coordinator);
    let bearer = format!("authorization: Bearer {TOKEN}");
    for path in ["/", "/dashboard.js", "/api/v1/sweep", "/api/v1/trials", "/metrics", "/nothing"] {
        let refused = ask(&page, path, &[]);
        assert_eq!(refused.status, 401, "{path}");
        assert!(
            refused.head.contains("www-authenticate: basic realm=\"swfn\""),
            "{}",
            refused.head
        );
        assert_eq!(ask(&page, path, &["authorization: Bearer x"]).status, 401, "{path}");
        assert_ne!(ask(&page, path, &[&bearer]).status, 401, "{path}");
        assert_ne!(ask(&page, path, &[BASIC]).status, 401, "{path}");
    }
    assert_eq!(ask(&page, "/healthz", &[]).status, 200);
    assert_eq!(ask(&page, "/readyz", &[]).status, 200);
    assert!(!coordinator.stderr().contains(TOKEN));
}

#[test]
fn a_worker_learns_that_this_is_the_dashboard() {
    let sweep = Sweep::new(AXES, 60);
    let coordinator = sweep.coordinator("coordinator", &DOORS);
    let (page, address) = (sweep.dashboard(&coordinator), sweep.address(&coordinator));
    let mut worker = sweep.worker("worker", &format!("http://{page}"), &[]);
    assert_eq!(worker.wait(), Some(1));
    let expected = format!("`{page}` is the dashboard\nhint: workers join at `{address}`");
    assert!(worker.stderr().contains(&expected), "{}", worker.stderr());
    let mut drain = sweep.program("drain", &["drain", "--coordinator", &page]);
    assert_eq!(drain.wait(), Some(1));
    assert!(drain.stderr().contains(&expected), "{}", drain.stderr());
}

#[test]
fn a_remote_dashboard_needs_tls_and_a_token() {
    let sweep = Sweep::new(AXES, 60);
    let everywhere = ["--listen", "127.0.0.1:0", "--http", "0.0.0.0:0"];
    let mut refused = sweep.coordinator("refused", &everywhere);
    assert_eq!(refused.wait(), Some(1));
    let output = refused.stderr();
    assert!(
        output.contains("the dashboard") && output.contains("neither encrypted nor authenticated"),
        "{output}"
    );
    assert!(output.contains("--token-file"), "{output}");
    let insecure = sweep.coordinator("insecure", &[&everywhere[..], &["--insecure"]].concat());
    let page = from_here(&sweep.dashboard(&insecure));
    assert!(
        insecure.stderr().contains("neither encrypted nor authenticated"),
        "{}",
        insecure.stderr()
    );
    assert_eq!(ask(&page, "/api/v1/sweep", &[]).status, 200);
}
