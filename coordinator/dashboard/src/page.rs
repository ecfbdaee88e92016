//! The files of the page, which are a part of this program.

use axum::{
    http::header,
    response::{IntoResponse as _, Response},
};

/// A file: its path, its type, its content.
type File = (&'static str, &'static str, &'static str);

const SCRIPT: &str = "text/javascript; charset=utf-8";

pub(super) const FILES: [File; 16] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/dashboard.js", SCRIPT, include_str!("page/dashboard.js")),
    ("/progress.js", SCRIPT, include_str!("page/progress.js")),
    ("/answer.js", SCRIPT, include_str!("page/answer.js")),
    ("/pivot.js", SCRIPT, include_str!("page/pivot.js")),
    ("/curves.js", SCRIPT, include_str!("page/curves.js")),
    ("/trials.js", SCRIPT, include_str!("page/trials.js")),
    ("/trial.js", SCRIPT, include_str!("page/trial.js")),
    ("/tables.js", SCRIPT, include_str!("page/tables.js")),
    ("/chart.js", SCRIPT, include_str!("page/chart.js")),
    ("/axis.js", SCRIPT, include_str!("page/axis.js")),
    ("/ask.js", SCRIPT, include_str!("page/ask.js")),
    ("/command.js", SCRIPT, include_str!("page/command.js")),
    ("/text.js", SCRIPT, include_str!("page/text.js")),
];

pub(super) fn response((_, content_type, content): File) -> Response {
    ([(header::CONTENT_TYPE, content_type)], content).into_response()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A proxy may serve the page below a path of its own.
    #[test]
    fn addresses_are_relative() {
        for (path, _, content) in FILES {
            for absolute in ["=\"/", "get(\"/", "(`/", "\"/api", "`/api", "url(/", "from \"/"] {
                assert!(!content.contains(absolute), "`{path}` has `{absolute}`");
            }
        }
    }

    /// The report and the page show the same numbers, so they must show them alike.
    #[test]
    fn the_page_rounds_as_the_report_does() {
        let Ok(version) = Command::new("node").arg("--version").output() else {
            eprintln!("skipped: node is not installed");
            return;
        };
        assert!(version.status.success());
        let values: Vec<f64> = (-400..=400)
            .map(|half| f64::from(half) / 200.0)
            .chain([0.02105, 2.105, 9.95, 1e9, 0.85345 - 0.8745])
            .collect();
        let script = include_str!("page/text.js").to_owned()
            + &format!(
                "console.log({values:?}.map((value) => [0, 1, 2].map((digits) => decimal(value, digits)).join(\" \")).join(\"\\n\"));"
            );
        let output =
            Command::new("node").args(["--input-type=module", "-e", &script]).output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            shown.lines().count(),
            values.len(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        for (value, shown) in values.iter().zip(shown.lines()) {
            let expected =
                [0, 1, 2].map(|digits| swfn_report::rounding::decimal(*value, digits)).join(" ");
            assert_eq!(shown, expected, "{value}");
        }
    }

    /// The content security policy would silently forbid it; and texts of workers must stay texts.
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
                _ => &[
                    "<style",
                    " style=",
                    " onclick",
                    " onload",
                    "javascript:",
                    "http://",
                    "@import",
                    "url(",
                ],
            };
            for text in forbidden {
                let content = content.replace("http://www.w3.org/2000/svg", "");
                assert!(!content.contains(text), "`{path}` has `{text}`");
            }
        }
    }
}
