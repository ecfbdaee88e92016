//! What is answered in place of what was asked for: a status and a JSON object that says what is wrong and what to do.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use swfn_shared::quote::printable;

/// Characters of a value that are shown again.
const SHOWN: usize = 60;

/// A refusal or a failure.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    body: Box<Explanation>,
    headers: HeaderMap,
}

#[derive(Debug, Serialize)]
struct Explanation {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Of a wrong parameter: its name, its value, and what is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let explanation = Explanation {
            message: message.into(),
            hint: None,
            parameter: None,
            value: None,
            allowed: None,
        };
        Self { status, body: Box::new(explanation), headers: HeaderMap::new() }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// A parameter whose value is not one of those that are allowed.
    pub(crate) fn value(parameter: &str, value: &str, allowed: impl Into<String>) -> Self {
        let (value, allowed) = (printable(value, SHOWN), allowed.into());
        let mut problem = Self::new(
            StatusCode::BAD_REQUEST,
            format!("parameter `{parameter}` is `{value}`, and not {allowed}"),
        );
        problem.body.parameter = Some(parameter.to_owned());
        problem.body.value = Some(value);
        problem.body.allowed = Some(allowed);
        problem
    }

    /// A parameter that nobody knows.
    pub(crate) fn parameter(name: &str, known: &[&str]) -> Self {
        let name = printable(name, SHOWN);
        let mut problem =
            Self::new(StatusCode::BAD_REQUEST, format!("parameter `{name}` is unknown here"));
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        problem.body.hint = Some(format!("parameters are: {known}"));
        problem.body.parameter = Some(name);
        problem.body.allowed = Some(known);
        problem
    }

    pub(crate) fn message(&self) -> &str {
        &self.body.message
    }

    pub(crate) fn json(&self) -> String {
        #[derive(Serialize)]
        struct Error<'e> {
            error: &'e Explanation,
        }
        serde_json::to_string(&Error { error: &self.body })
            .expect("plain structs of texts always serialise")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.json() + "\n"));
        *response.status_mut() = self.status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().extend(self.headers);
        response
    }
}
