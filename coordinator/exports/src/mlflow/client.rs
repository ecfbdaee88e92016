//! Requests to an MLflow server: credentials, retries, answers.

use std::time::Duration;

use anyhow::{anyhow, ensure};
use backon::{BlockingRetryable as _, ExponentialBuilder};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;
use swfn_shared::{problem, problem::Problem, quote::for_sentence, text};
use swfn_web::{
    Certificates, Failure, Web,
    ureq::{
        self, Body, RequestBuilder, config::ConfigBuilder, http::Response, typestate::AgentScope,
    },
};

/// Time limit for one answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The variables of MLflow's own client.
const CERTIFICATES: Certificates = Certificates {
    authorities: Some("MLFLOW_TRACKING_SERVER_CERT_PATH"),
    identity: Some("MLFLOW_TRACKING_CLIENT_CERT_PATH"),
};

/// Five retries, the first after half a second, each pause twice as long as the one before.
const PAUSES: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(500)).with_max_times(5);

pub(super) struct Client {
    web: Web,
    /// Without a slash at its end.
    url: String,
    /// The header `Authorization`, if the environment has credentials.
    authorization: Option<String>,
    pauses: ExponentialBuilder,
}

/// An answer that is an error.
struct Refusal {
    status: u16,
    code: String,
    message: String,
}

impl Client {
    /// A client of the server at that URL. MLflow's own environment variables hold credentials.
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        Self::with(url, swfn_web::environment, PAUSES)
    }

    pub(super) fn with(
        url: &str,
        variable: impl Fn(&str) -> Option<String>,
        pauses: ExponentialBuilder,
    ) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let host = rest.and_then(|rest| rest.split('/').next());
        ensure!(
            host.is_some(),
            problem!(
                "`{url}` is not the address of an MLflow server";
                "write for example --mlflow http://127.0.0.1:5000"
            )
        );
        ensure!(
            !host.is_some_and(|host| host.contains('@')),
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
        let authorization = match name.zip(variable("MLFLOW_TRACKING_PASSWORD")) {
            // A user name precedes a token, as in MLflow's own client.
            Some((name, password)) => {
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}"))))
            }
            None => variable("MLFLOW_TRACKING_TOKEN").map(|token| format!("Bearer {token}")),
        };
        Ok(Self { web, url: url.trim_end_matches('/').to_owned(), authorization, pauses })
    }

    /// Gets something by its name; `None` if the server does not have it.
    pub(super) fn get(&self, path: &str, query: (&str, &str)) -> anyhow::Result<Option<Value>> {
        let send =
            |url: &str| self.authorized(self.web.agent().get(url).query_pairs([query])).call();
        match self.request(path, send)? {
            Err(Refusal { code, .. }) if code == "RESOURCE_DOES_NOT_EXIST" => Ok(None),
            answer => answer.map(Some).map_err(|refusal| self.explain(path, &refusal)),
        }
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let send = |url: &str| {
            let post = self.web.agent().post(url).header("Content-Type", "application/json");
            self.authorized(post).send(body.to_string())
        };
        self.request(path, send)?.map_err(|refusal| self.explain(path, &refusal))
    }

    fn authorized<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        self.authorization
            .iter()
            .fold(request, |request, value| request.header("Authorization", value))
    }

    fn explain(&self, path: &str, Refusal { status, code, message }: &Refusal) -> anyhow::Error {
        let hint = match status {
            401 | 403 => Some(
                "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and \
                 MLFLOW_TRACKING_PASSWORD, to what the server knows",
            ),
            300..=399 => Some("give the address that the server redirects to"),
            404 => Some(
                "is this an MLflow server? Give its address without a path, or with the prefix \
                 that it is served under",
            ),
            _ => None,
        };
        let (url, by) = (&self.url, self.web.by());
        let what = format!(
            "the MLflow server at `{url}` answers `{path}` with {status} {code}{by}: {message}"
        );
        with_hint(what, hint.map(str::to_owned))
    }

    /// Sends a request, with retries if the server is unreachable, overloaded or broken.
    fn request(
        &self,
        path: &str,
        send: impl Fn(&str) -> Result<Response<Body>, ureq::Error>,
    ) -> anyhow::Result<Result<Value, Refusal>> {
        let (url, mut attempts) = (&self.url, 0);
        let address = format!("{url}/api/2.0/mlflow/{path}");
        let send = || {
            attempts += 1;
            match send(&address).and_then(read) {
                Ok(Err(Refusal { status: status @ (429 | 500..=599), code, message })) => {
                    let problem = format!("it answers {status} {code}{}: {message}", self.web.by());
                    Err(Failure { problem, hint: None, hopeless: false })
                }
                Ok(answer) => Ok(answer),
                Err(error) => Err(self.web.explain(&error)),
            }
        };
        let answer = send.retry(self.pauses).when(|failure| !failure.hopeless).call();
        answer.map_err(|Failure { problem, hint, hopeless }| {
            if hopeless {
                let what = format!("the MLflow server at `{url}` cannot be reached: {problem}");
                return with_hint(what, hint);
            }
            let hint = hint.map_or(String::new(), |hint| format!("; {hint}"));
            let problem = problem!(
                "the MLflow server at `{url}` is unavailable ({attempts} attempts): {problem}";
                "what was uploaded is kept; run the same command again later{hint}"
            );
            problem.into()
        })
    }
}

fn read(mut response: Response<Body>) -> Result<Result<Value, Refusal>, ureq::Error> {
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string()?;
    // A page instead of JSON comes from another kind of server.
    let (status, json) = match (status, serde_json::from_str::<Value>(&text)) {
        (200..=299, Ok(json)) => return Ok(Ok(json)),
        (200..=299, Err(_)) => (404, None),
        (status, json) => (status, json.ok()),
    };
    let field = |name| json.as_ref().and_then(|json| json[name].as_str()).unwrap_or_default();
    let message = if json.is_some() { field("message") } else { &text };
    let message = for_sentence(text::beginning(message.trim(), 500));
    Ok(Err(Refusal { status, code: field("error_code").to_owned(), message }))
}

fn with_hint(what: String, hint: Option<String>) -> anyhow::Error {
    match hint {
        Some(hint) => Problem::new(what, hint).into(),
        None => anyhow!(what),
    }
}
