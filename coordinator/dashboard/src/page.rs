//! The files of the dashboard, which are a part of this program.

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};

/// A file: its path, its type, its content.
type File = (&'static str, &'static str, &'static str);

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// All of them.
pub(super) const FILES: [File; 8] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/dashboard.js", SCRIPT, include_str!("page/dashboard.js")),
    ("/tables.js", SCRIPT, include_str!("page/tables.js")),
    ("/trial.js", SCRIPT, include_str!("page/trial.js")),
    ("/chart.js", SCRIPT, include_str!("page/chart.js")),
    ("/text.js", SCRIPT, include_str!("page/text.js")),
];

pub(super) fn response((_, content_type, content): File) -> Response {
    let mut response = Response::new(Body::from(content));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the content security policy forbids would silently not happen; and whatever workers say must stay text.
    #[test]
    fn nothing_is_inline_and_nothing_becomes_markup() {
        for (path, content_type, content) in FILES {
            let forbidden: &[&str] = match content_type {
                SCRIPT => &[
                    "innerHTML",
                    "outerHTML",
                    "insertAdjacentHTML",
                    "document.write",
                    "eval(",
                    "Function(",
                    "setAttribute(\"style\"",
                    "setAttribute(\"on",
                ],
                _ => &["<style", " style=", " onclick", " onload", "javascript:", "http://", "@import", "url("],
            };
            for text in forbidden {
                let content = content.replace("http://www.w3.org/2000/svg", "");
                assert!(!content.contains(text), "`{path}` has `{text}`");
            }
        }
    }
}
