//! Logs: one line an event on stderr, as text for people or JSON for machines. `RUST_LOG` filters.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write},
    str::FromStr,
    sync::{Mutex, PoisonError},
};

use tracing_subscriber::{
    EnvFilter, Layer as _, fmt::MakeWriter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{
    text::Tail,
    trial_log::{self, TrialLogs},
    wire::MAX_LOG_BYTES,
};

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("log format `{text}` is unknown; hint: text or json")),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Whether a log is to be coloured: on a terminal, or for a program that passes it on to one.
pub fn colours() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    !set("NO_COLOR") && (io::stderr().is_terminal() || set("CLICOLOR_FORCE"))
}

/// The end of what this process has logged.
static LOGGED: Mutex<Tail> = Mutex::new(Tail::new(MAX_LOG_BYTES));

/// The last lines that this process has logged, at most [`MAX_LOG_BYTES`], without colours.
pub fn last_words() -> String {
    let logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    anstream::adapter::strip_str(logged.text()).to_string()
}

/// Writes through, and keeps the end.
struct WithTail<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for WithTail<W> {
    type Writer = WithTail<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        WithTail(self.0.make_writer())
    }
}

impl<W: Write> Write for WithTail<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
        logged.push(&String::from_utf8_lossy(&bytes[..written]));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Installs the process's log subscriber, writing through `writer`. `RUST_LOG` wins over `default_filter`; the logs of trials have a measure of
/// their own. Call once.
pub fn init<W>(format: LogFormat, default_filter: &str, writer: W)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
    let writer = WithTail(writer);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_target(false);
    let layer = match format {
        LogFormat::Text => layer.with_ansi(colours()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(TrialLogs.with_filter(trial_log::filter()))
        .with(layer.with_filter(filter))
        .init();
}
