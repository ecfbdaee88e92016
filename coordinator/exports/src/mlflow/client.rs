//! Requests to an MLflow server: who asks, what it answered, and what is asked again.

use std::time::Duration;

use anyhow::{anyhow, ensure};
use backon::{BlockingRetryable as _, ExponentialBuilder};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;
use swfn_shared::{problem, problem::Problem, quote::for_sentence, text};
use swfn_web::{
    Certificates, Failure, Web,
    ureq::{self, config::ConfigBuilder, typestate::AgentScope},
};

/// Time for one answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What MLflow's own client calls them.
const CERTIFICATES: Certificates = Certificates {
    authorities: Some("MLFLOW_TRACKING_SERVER_CERT_PATH"),
    identity: Some("MLFLOW_TRACKING_CLIENT_CERT_PATH"),
};

/// Pauses before a request is sent again: half a second, and five in all, each twice as long as the one before.
const PAUSES: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(500)).with_max_times(5);

/// A server that can be asked.
pub(super) struct Client {
    web: Web,
    /// Without a slash at its end.
    url: String,
    /// What lets in, if the environment has it.
    authorization: Option<String>,
    pauses: ExponentialBuilder,
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
        Self::with(url, swfn_web::environment, PAUSES)
    }

    pub(super) fn with(
        url: &str,
        variable: impl Fn(&str) -> Option<String>,
        pauses: ExponentialBuilder,
    ) -> anyhow::Result<Self> {
        ensure!(
            url.starts_with("http://") || url.starts_with("https://"),
            problem!(
                "`{url}` is no address of an MLflow server";
                "write for example --mlflow http://127.0.0.1:5000"
            )
        );
        ensure!(
            !url.trim_start_matches("https://")
                .trim_start_matches("http://")
                .split('/')
                .next()
                .is_some_and(|host| host.contains('@')),
            problem!(
                "the URL of the MLflow server names a user";
                "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD: command lines can be \
                 read by others"
            )
        );
        let insecure = variable("MLFLOW_TRACKING_INSECURE_TLS");
        ensure!(
            insecure.is_none_or(|value| !value.eq_ignore_ascii_case("true"))
                || url.starts_with("http://"),
            problem!(
                "MLFLOW_TRACKING_INSECURE_TLS is `true`, but the certificate of the MLflow server \
                 is always checked";
                "unset it, and name the file of the server's authority in \
                 MLFLOW_TRACKING_SERVER_CERT_PATH"
            )
        );
        let limits = |config: ConfigBuilder<AgentScope>| {
            config.timeout_global(Some(TIMEOUT)).max_redirects(0)
        };
        let web = Web::new(url, CERTIFICATES, limits, &variable)?;
        let name = variable("MLFLOW_TRACKING_USERNAME");
        let authorization =
            match (variable("MLFLOW_TRACKING_TOKEN"), name, variable("MLFLOW_TRACKING_PASSWORD")) {
                // As MLflow's own client does it.
                (_, Some(name), Some(password)) => {
                    Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}"))))
                }
                (Some(token), ..) => Some(format!("Bearer {token}")),
                (None, ..) => None,
            };
        Ok(Self { web, url: url.trim_end_matches('/').to_owned(), authorization, pauses })
    }

    /// Asks for something by its name; `None` if the server does not have it.
    pub(super) fn get(&self, path: &str, query: (&str, &str)) -> anyhow::Result<Option<Value>> {
        match self.ask(path, Some(query), None)? {
            Answer::Fine(value) => Ok(Some(value)),
            Answer::Refused { code, .. } if code == "RESOURCE_DOES_NOT_EXIST" => Ok(None),
            Answer::Refused { status, code, message } => {
                Err(self.refused(path, status, &code, &message))
            }
        }
    }

    /// Tells the server something.
    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        match self.ask(path, None, Some(body))? {
            Answer::Fine(value) => Ok(value),
            Answer::Refused { status, code, message } => {
                Err(self.refused(path, status, &code, &message))
            }
        }
    }

    fn refused(&self, path: &str, status: u16, code: &str, message: &str) -> anyhow::Error {
        let hint = match status {
            401 | 403 => Some(
                "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, to what the server knows",
            ),
            300..=399 => Some("give the address that the server redirects to"),
            404 => Some(
                "is this an MLflow server? Give its address without a path, or with the prefix that it is served under",
            ),
            _ => None,
        };
        let by = self.web.by();
        let what = format!(
            "the MLflow server at `{}` answers `{path}` with {status} {code}{by}: {message}",
            self.url
        );
        with_hint(what, hint.map(str::to_owned))
    }

    /// Sends a request; again, after ever longer pauses, when the server cannot be reached or has trouble of its own.
    fn ask(
        &self,
        path: &str,
        query: Option<(&str, &str)>,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let mut tries = 0;
        let ask = || {
            tries += 1;
            match self.once(path, query, body) {
                Ok(Answer::Refused { status: status @ (429 | 500..=599), code, message }) => {
                    let problem = format!("it answers {status} {code}{}: {message}", self.web.by());
                    Err(Failure { problem, hint: None, hopeless: false })
                }
                Ok(answer) => Ok(answer),
                Err(error) => Err(self.web.explain(&error)),
            }
        };
        let answer = ask.retry(self.pauses).when(|failure| !failure.hopeless).call();
        answer.map_err(|Failure { problem, hint, hopeless }| {
            if hopeless {
                return with_hint(format!("the MLflow server at `{}` cannot be asked: {problem}", self.url), hint);
            }
            let hint = hint.map_or(String::new(), |hint| format!("; {hint}"));
            let problem = problem!(
                "the MLflow server at `{}` does not do its work, after {tries} tries: {problem}", self.url;
                "what has arrived stays; run the same command again when the server is well{hint}"
            );
            problem.into()
        })
    }

    fn once(
        &self,
        path: &str,
        query: Option<(&str, &str)>,
        body: Option<&Value>,
    ) -> Result<Answer, ureq::Error> {
        let url = format!("{}/api/2.0/mlflow/{path}", self.url);
        let mut response = match body {
            Some(body) => {
                let mut request = self.web.agent().post(&url);
                if let Some(authorization) = &self.authorization {
                    request = request.header("Authorization", authorization);
                }
                request.header("Content-Type", "application/json").send(body.to_string())?
            }
            None => {
                let mut request = self.web.agent().get(&url).query_pairs(query);
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
        let field = |name| {
            json.as_ref()
                .and_then(|json| json.get(name))
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let message = if json.is_some() { field("message") } else { &text };
        let message = for_sentence(text::beginning(message.trim(), 500));
        // A page instead of an answer is an answer of something else.
        let status = if (200..=299).contains(&status) { 404 } else { status };
        Ok(Answer::Refused { status, code: field("error_code").to_owned(), message })
    }
}

fn with_hint(what: String, hint: Option<String>) -> anyhow::Error {
    match hint {
        Some(hint) => Problem::new(what, hint).into(),
        None => anyhow!(what),
    }
}
