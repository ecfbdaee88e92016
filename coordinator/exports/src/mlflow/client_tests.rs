//! The client against a server with prepared answers.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use backon::ExponentialBuilder;
use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use serde_json::Value;

use super::client::Client;

const NO_PAUSES: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::ZERO).with_max_times(2);

/// A server that gives these answers in turn; its thread returns the requests.
pub(super) fn server(answers: &'static [&'static str]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answer = move |answer: &&str| {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut asked = String::new();
        while !asked.ends_with("\r\n\r\n") && stream.read_line(&mut asked).unwrap() > 0 {}
        asked.make_ascii_lowercase();
        let length =
            asked.split("content-length: ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let length = length.map_or(0, |length| length.parse().unwrap());
        stream.by_ref().take(length).read_to_string(&mut asked).unwrap();
        let (status, body) = answer.split_once(' ').unwrap();
        let head = format!(
            "HTTP/1.1 {status} -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        asked
    };
    (url, thread::spawn(move || answers.iter().map(answer).collect()))
}

pub(super) fn client(
    url: &str,
    environment: &'static [(&'static str, &'static str)],
) -> anyhow::Result<Client> {
    let variable = |name: &str| {
        environment.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned())
    };
    Client::with(url, variable, NO_PAUSES)
}

#[test]
fn server_errors_are_retried_and_refusals_are_not() {
    let (url, asked) = server(&[
        "503 busy",
        "429 {\"error_code\": \"REQUEST_LIMIT_EXCEEDED\"}",
        "200 {\"run\": 1}",
    ]);
    let environment =
        &[("MLFLOW_TRACKING_USERNAME", "Aladdin"), ("MLFLOW_TRACKING_PASSWORD", "open sesame")];
    let answer = client(&url, environment)
        .unwrap()
        .post("runs/create", &serde_json::json!({"a": 1}))
        .unwrap();
    assert_eq!(answer["run"], 1);
    let asked = asked.join().unwrap();
    assert_eq!(asked.len(), 3);
    assert!(asked[2].starts_with("post /api/2.0/mlflow/runs/create http/1.1"), "{}", asked[2]);
    assert!(
        asked[2].contains(
            "authorization: basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_ascii_lowercase().as_str()
        ) && asked[2].ends_with("{\"a\":1}")
    );

    let (url, asked) =
        server(&["404 {\"error_code\": \"RESOURCE_DOES_NOT_EXIST\"}", "401 who are \u{1b}you"]);
    let client_of = client(&url, &[("MLFLOW_TRACKING_TOKEN", "secret")]).unwrap();
    assert!(
        client_of.get("experiments/get-by-name", ("experiment_name", "a b")).unwrap().is_none()
    );
    let error = client_of
        .get("experiments/get-by-name", ("experiment_name", "a b"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("401 : who are  you\nhint: set MLFLOW_TRACKING_TOKEN")
            && !error.contains("secret"),
        "{error}"
    );
    let asked = asked.join().unwrap();
    assert!(
        asked[0]
            .starts_with("get /api/2.0/mlflow/experiments/get-by-name?experiment_name=a%20b http"),
        "{}",
        asked[0]
    );
    assert!(asked[0].contains("authorization: bearer secret"));
}

#[test]
fn a_wrong_server_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error =
        client(&url, &[]).unwrap().post("runs/create", &Value::Null).unwrap_err().to_string();
    assert!(
        error.contains("(3 attempts)") && error.contains("hint: what was uploaded is kept"),
        "{error}"
    );
    for url in ["databricks", "file:///tmp", "127.0.0.1:5000"] {
        assert!(
            client(url, &[]).err().unwrap().to_string().contains("hint: write for example"),
            "{url}"
        );
    }
    let insecure = &[("MLFLOW_TRACKING_INSECURE_TLS", "true")];
    let error = client("https://mlflow.example", insecure).err().unwrap().to_string();
    assert!(
        error.starts_with("MLFLOW_TRACKING_INSECURE_TLS is `true`") && error.contains("\nhint: "),
        "{error}"
    );
    assert!(client("http://mlflow.example", insecure).is_ok(), "there is nothing to check");
    let error = client("https://ann:pass@host", &[]).err().unwrap().to_string();
    assert!(error.contains("MLFLOW_TRACKING_PASSWORD") && !error.contains("pass@"), "{error}");
    let (url, _) = server(&["200 <html>a page</html>"]);
    let error =
        client(&url, &[]).unwrap().post("runs/create", &Value::Null).unwrap_err().to_string();
    assert!(error.contains("is this an MLflow server?"), "{error}");
}

/// A server for `localhost` with a certificate of its own authority. Returns its URL, the file of
/// the authority, and the number of connections so far.
fn with_own_authority(folder: &Path) -> (String, String, Arc<AtomicUsize>) {
    let key = KeyPair::generate().unwrap();
    let signed =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let file = folder.join("ca.pem");
    std::fs::write(&file, signed.pem()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![signed.der().clone()], key);
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let visitors = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visitors);
    thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::Relaxed);
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(connection, stream.unwrap()));
            let mut asked = String::new();
            while !asked.ends_with("\r\n\r\n")
                && stream.read_line(&mut asked).is_ok_and(|count| count > 0)
            {}
            let answer =
                "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n{\"a\": 1}";
            let _ = stream.get_mut().write_all(answer.as_bytes());
        }
    });
    (url, file.display().to_string(), visitors)
}

#[test]
fn an_authority_of_ones_own_can_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let (url, file, visitors) = with_own_authority(folder.path());
    let with = |named: Option<String>| {
        let variable =
            move |name: &str| named.clone().filter(|_| name == "MLFLOW_TRACKING_SERVER_CERT_PATH");
        Client::with(&url, variable, NO_PAUSES).unwrap()
    };
    let error = with(None).get("x", ("a", "b")).unwrap_err().to_string();
    assert!(error.contains("certificate is not trusted") && error.contains(&url), "{error}");
    assert!(
        error.contains("\nhint: ")
            && error.contains("MLFLOW_TRACKING_SERVER_CERT_PATH or SSL_CERT_FILE"),
        "{error}"
    );
    assert_eq!(visitors.load(Ordering::Relaxed), 1, "another try would end the same");
    assert_eq!(with(Some(file)).get("x", ("a", "b")).unwrap().unwrap()["a"], 1);
}

#[test]
fn a_proxy_that_refuses_is_named() {
    let (proxy, asked) = server(&["403 no"]);
    let address = proxy.trim_end_matches('/').to_owned();
    let variable = move |name: &str| (name == "https_proxy").then(|| address.clone());
    let client = Client::with("https://mlflow.invalid", variable, NO_PAUSES).unwrap();
    let error = client.get("x", ("a", "b")).unwrap_err().to_string();
    assert!(
        error.contains(&format!("the proxy `{}` of https_proxy", proxy.trim_end_matches('/'))),
        "{error}"
    );
    assert!(error.contains("NO_PROXY"), "{error}");
    assert_eq!(asked.join().unwrap().len(), 1);
}
