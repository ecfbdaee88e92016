//! Logs: one line per event on stderr, as text for people or JSON for machines. `RUST_LOG` filters.

use std::{
    io::{self, Write},
    str::FromStr,
    sync::{Mutex, OnceLock, PoisonError},
};

use serde::Deserialize;
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{
    choice::named,
    command_line::variable,
    output,
    quote::quote,
    text::Tail,
    trial_log::{self, TrialLogs},
    wire::MAX_LOG_BYTES,
};

named! {
    /// The form of log lines.
    #[derive(Default, Deserialize)]
    LogFormat {
        /// For people.
        #[default]
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("log format `{text}` is unknown; hint: text or json");
        Self::by_name(text).ok_or_else(unknown)
    }
}

/// Whether the log has colours: on a terminal, or for a program that passes it on to one.
pub fn colours() -> bool {
    let set = |name| variable(name).is_some_and(|value| value != "0");
    !set("NO_COLOR") && (output::on_terminal() || set("CLICOLOR_FORCE"))
}

/// The end of this process's log.
static LOGGED: Mutex<Tail> = Mutex::new(Tail::new(MAX_LOG_BYTES));

/// The last lines of this process's log, at most [`MAX_LOG_BYTES`], without colours.
pub fn log_tail() -> String {
    let logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    anstream::adapter::strip_str(logged.text()).to_string()
}

/// Writes lines of the log, and keeps the end.
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        output::write(bytes);
        let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
        logged.push(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The form of this process's log.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// A line of the log that does not come from `tracing`.
pub(crate) fn notice(text: &str) -> String {
    match FORMAT.get() {
        Some(LogFormat::Json) => {
            format!("{}\n", serde_json::json!({ "level": "WARN", "message": text }))
        }
        _ => format!("{text}\n"),
    }
}

/// Installs the process's log subscriber; called once.
///
/// `RUST_LOG` wins over `default_filter`, unless it is empty or not a filter. The logs of trials
/// have a filter of their own.
pub fn init(format: LogFormat, default_filter: &str) {
    FORMAT.set(format).ok();
    let wanted = variable(EnvFilter::DEFAULT_ENV).map(|text| text.to_string_lossy().into_owned());
    let parsed = EnvFilter::try_new(wanted.as_deref().unwrap_or(default_filter));
    let (filter, mistake) = match parsed {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(default_filter), Some(error)),
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(|| Log).with_target(false);
    let layer = match format {
        LogFormat::Text => layer.with_ansi(colours()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(TrialLogs.with_filter(trial_log::filter()))
        .with(layer.with_filter(filter))
        .init();
    if let (Some(text), Some(error)) = (wanted, mistake) {
        tracing::warn!(
            "RUST_LOG is {}, which is not a filter: {error}; `{default_filter}` is used\n\
             hint: set it to levels such as `info` or `warn,swfn=debug`",
            quote(&text)
        );
    }
}
