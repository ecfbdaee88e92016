//! Refusals and failures: a status, and a JSON object with the problem and a hint.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use swfn_shared::quote::printable;

/// The most characters of a value that an answer repeats.
const SHOWN: usize = 60;

#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    body: Box<Explanation>,
    headers: HeaderMap,
}

#[derive(Debug, Default, Serialize)]
struct Explanation {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The name of a wrong parameter, its value, and the allowed values.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let body = Box::new(Explanation { message: message.into(), ..Explanation::default() });
        Self { status, body, headers: HeaderMap::new() }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// A parameter whose value is not allowed.
    pub(crate) fn value(parameter: &str, value: &str, allowed: impl Into<String>) -> Self {
        let (value, allowed) = (printable(value, SHOWN), allowed.into());
        let message = format!("parameter `{parameter}` is `{value}`, and not {allowed}");
        let mut problem = Self::new(StatusCode::BAD_REQUEST, message);
        problem.body.parameter = Some(parameter.to_owned());
        problem.body.value = Some(value);
        problem.body.allowed = Some(allowed);
        problem
    }

    pub(crate) fn parameter(name: &str, known: &[&str]) -> Self {
        let name = printable(name, SHOWN);
        let message = format!("parameter `{name}` is unknown here");
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let hint = format!("parameters are: {known}");
        let mut problem = Self::new(StatusCode::BAD_REQUEST, message).hint(hint);
        problem.body.parameter = Some(name);
        problem.body.allowed = Some(known);
        problem
    }

    pub(crate) fn message(&self) -> &str {
        &self.body.message
    }

    pub(crate) fn json(&self) -> String {
        let body = serde_json::to_string(&self.body);
        format!("{{\"error\":{}}}", body.expect("plain structs of texts always serialise"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = (header::CONTENT_TYPE, "application/json");
        let json = self.json() + "\n";
        (self.status, self.headers, [kind], json).into_response()
    }
}
