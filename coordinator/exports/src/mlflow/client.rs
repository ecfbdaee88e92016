//! Requests to an MLflow server: who asks, what it answered, and what is asked again.

use std::{env, thread, time::Duration};

use anyhow::{anyhow, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;
use ureq::Agent;

/// Time for one answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Pauses before a request is sent again.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// A server that can be asked.
pub(super) struct Client {
    agent: Agent,
    /// Without a slash at its end.
    url: String,
    /// What lets in, if the environment has it.
    authorization: Option<String>,
    pauses: &'static [Duration],
}

/// What came of a request.
enum Answer {
    Fine(Value),
    /// It will not do that; its code and its words.
    Refused {
        status: u16,
        code: String,
        message: String,
    },
}

impl Client {
    /// For the server at that URL, with what lets in from MLflow's own environment variables.
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        Self::with(url, |name| env::var(name).ok().filter(|value| !value.is_empty()), &PAUSES)
    }

    fn with(url: &str, variable: impl Fn(&str) -> Option<String>, pauses: &'static [Duration]) -> anyhow::Result<Self> {
        ensure!(
            url.starts_with("http://") || url.starts_with("https://"),
            "`{url}` is no address of an MLflow server\nhint: write for example --mlflow http://127.0.0.1:5000"
        );
        ensure!(
            !url.trim_start_matches("https://")
                .trim_start_matches("http://")
                .split('/')
                .next()
                .is_some_and(|host| host.contains('@')),
            "the URL of the MLflow server names a user\n\
             hint: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD: command lines can be read by others"
        );
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("swfn/", env!("CARGO_PKG_VERSION")))
            .build();
        let name = variable("MLFLOW_TRACKING_USERNAME");
        let authorization = match (variable("MLFLOW_TRACKING_TOKEN"), name, variable("MLFLOW_TRACKING_PASSWORD")) {
            // As MLflow's own client does it.
            (_, Some(name), Some(password)) => {
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}"))))
            }
            (Some(token), ..) => Some(format!("Bearer {token}")),
            (None, ..) => None,
        };
        Ok(Self { agent: config.into(), url: url.trim_end_matches('/').to_owned(), authorization, pauses })
    }

    /// Asks for something by its name; `None` if the server does not have it.
    pub(super) fn get(&self, path: &str, query: (&str, &str)) -> anyhow::Result<Option<Value>> {
        match self.ask(path, Some(query), None)? {
            Answer::Fine(value) => Ok(Some(value)),
            Answer::Refused { code, .. } if code == "RESOURCE_DOES_NOT_EXIST" => Ok(None),
            Answer::Refused { status, code, message } => Err(self.refused(path, status, &code, &message)),
        }
    }

    /// Tells the server something.
    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        match self.ask(path, None, Some(body))? {
            Answer::Fine(value) => Ok(value),
            Answer::Refused { status, code, message } => Err(self.refused(path, status, &code, &message)),
        }
    }

    fn refused(&self, path: &str, status: u16, code: &str, message: &str) -> anyhow::Error {
        let hint = match status {
            401 | 403 => {
                "\nhint: set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, to what the server knows"
            }
            300..=399 => "\nhint: give the address that the server redirects to",
            404 => {
                "\nhint: is this an MLflow server? Give its address without a path, or with the prefix that it is served under"
            }
            _ => "",
        };
        anyhow!("the MLflow server at `{}` answers `{path}` with {status} {code}: {message}{hint}", self.url)
    }

    /// Sends a request; again, after ever longer pauses, when the server cannot be reached or has trouble of its own.
    fn ask(&self, path: &str, query: Option<(&str, &str)>, body: Option<&Value>) -> anyhow::Result<Answer> {
        let mut pauses = self.pauses.iter();
        loop {
            let problem = match self.once(path, query, body) {
                Ok(Answer::Refused { status: status @ (429 | 500..=599), code, message }) => {
                    format!("it answers {status} {code}: {message}")
                }
                Ok(answer) => return Ok(answer),
                Err(error) => error.to_string(),
            };
            let Some(pause) = pauses.next() else {
                bail!(
                    "the MLflow server at `{}` does not do its work, after {} tries: {problem}\n\
                     hint: what has arrived stays; run the same command again when the server is well",
                    self.url,
                    self.pauses.len() + 1
                );
            };
            thread::sleep(*pause);
        }
    }

    fn once(&self, path: &str, query: Option<(&str, &str)>, body: Option<&Value>) -> Result<Answer, ureq::Error> {
        let url = format!("{}/api/2.0/mlflow/{path}", self.url);
        let mut response = match body {
            Some(body) => {
                let mut request = self.agent.post(&url);
                if let Some(authorization) = &self.authorization {
                    request = request.header("Authorization", authorization);
                }
                request.header("Content-Type", "application/json").send(body.to_string())?
            }
            None => {
                let mut request = self.agent.get(&url).query_pairs(query);
                if let Some(authorization) = &self.authorization {
                    request = request.header("Authorization", authorization);
                }
                request.call()?
            }
        };
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string()?;
        let json: Option<Value> = serde_json::from_str(&text).ok();
        if let (200..=299, Some(json)) = (status, &json) {
            return Ok(Answer::Fine(json.clone()));
        }
        let field = |name| json.as_ref().and_then(|json| json.get(name)).and_then(Value::as_str).unwrap_or_default();
        let message = if json.is_some() { field("message") } else { &text };
        let message = swfn_shared::text::beginning(message.trim(), 500);
        let message = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // A page instead of an answer is an answer of something else.
        let status = if (200..=299).contains(&status) { 404 } else { status };
        Ok(Answer::Refused { status, code: field("error_code").to_owned(), message })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Read as _, Write as _},
        net::TcpListener,
        thread::JoinHandle,
    };

    use super::*;

    const NO_PAUSES: &[Duration] = &[Duration::ZERO; 2];

    /// Answers one request after the other with these, and returns what it was asked.
    fn server(answers: &'static [&'static str]) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answer = move |answer: &&str| {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut asked = String::new();
            while !asked.ends_with("\r\n\r\n") && stream.read_line(&mut asked).unwrap() > 0 {}
            asked.make_ascii_lowercase();
            let length = asked.split("content-length: ").nth(1).and_then(|rest| rest.split_whitespace().next());
            let length = length.map_or(0, |length| length.parse().unwrap());
            stream.by_ref().take(length).read_to_string(&mut asked).unwrap();
            let (status, body) = answer.split_once(' ').unwrap();
            let head =
                format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            stream.get_mut().write_all(head.as_bytes()).unwrap();
            asked
        };
        (url, thread::spawn(move || answers.iter().map(answer).collect()))
    }

    fn client(url: &str, environment: &'static [(&'static str, &'static str)]) -> anyhow::Result<Client> {
        let variable =
            |name: &str| environment.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        Client::with(url, variable, NO_PAUSES)
    }

    #[test]
    fn trouble_of_the_server_is_waited_for_and_its_refusals_are_not() {
        let (url, asked) =
            server(&["503 busy", "429 {\"error_code\": \"REQUEST_LIMIT_EXCEEDED\"}", "200 {\"run\": 1}"]);
        let environment = &[("MLFLOW_TRACKING_USERNAME", "Aladdin"), ("MLFLOW_TRACKING_PASSWORD", "open sesame")];
        let answer = client(&url, environment).unwrap().post("runs/create", &serde_json::json!({"a": 1})).unwrap();
        assert_eq!(answer["run"], 1);
        let asked = asked.join().unwrap();
        assert_eq!(asked.len(), 3);
        assert!(asked[2].starts_with("post /api/2.0/mlflow/runs/create http/1.1"), "{}", asked[2]);
        assert!(
            asked[2].contains("authorization: basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_ascii_lowercase().as_str())
                && asked[2].ends_with("{\"a\":1}")
        );

        let (url, asked) = server(&["404 {\"error_code\": \"RESOURCE_DOES_NOT_EXIST\"}", "401 who are \u{1b}you"]);
        let client_of = client(&url, &[("MLFLOW_TRACKING_TOKEN", "secret")]).unwrap();
        assert!(client_of.get("experiments/get-by-name", ("experiment_name", "a b")).unwrap().is_none());
        let error = client_of.get("experiments/get-by-name", ("experiment_name", "a b")).unwrap_err().to_string();
        assert!(
            error.contains("401 : who are  you\nhint: set MLFLOW_TRACKING_TOKEN") && !error.contains("secret"),
            "{error}"
        );
        let asked = asked.join().unwrap();
        assert!(
            asked[0].starts_with("get /api/2.0/mlflow/experiments/get-by-name?experiment_name=a%20b http"),
            "{}",
            asked[0]
        );
        assert!(asked[0].contains("authorization: bearer secret"));
    }

    #[test]
    fn what_is_no_server_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = client(&url, &[]).unwrap().post("runs/create", &Value::Null).unwrap_err().to_string();
        assert!(error.contains("after 3 tries") && error.contains("hint: what has arrived stays"), "{error}");
        for url in ["databricks", "file:///tmp", "127.0.0.1:5000"] {
            assert!(client(url, &[]).err().unwrap().to_string().contains("hint: write for example"), "{url}");
        }
        let error = client("https://ann:pass@host", &[]).err().unwrap().to_string();
        assert!(error.contains("MLFLOW_TRACKING_PASSWORD") && !error.contains("pass@"), "{error}");
        let (url, _) = server(&["200 <html>a page</html>"]);
        let error = client(&url, &[]).unwrap().post("runs/create", &Value::Null).unwrap_err().to_string();
        assert!(error.contains("is this an MLflow server?"), "{error}");
    }
}
