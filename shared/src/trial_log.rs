//! The log of an attempt: the lines of its span, bounded, on their way to the run directory.
//!
//! The first `HEAD_BYTES` are sent as they come. After them only the newest lines are kept, and
//! sent when the attempt ends. A line between tells how many were left out.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{
    Event, Level, Metadata, Span, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::{FilterFn, LevelFilter, filter_fn},
    fmt::{
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    layer::Context,
    registry::LookupSpan,
};

use crate::{quote::for_terminal, text};

/// Name of the spans whose lines are kept: one for each attempt of a trial.
pub const SPAN: &str = "trial";

/// Target of the lines that only the log of the trial has, since they are many.
pub const TARGET: &str = "trial_log";

/// The largest log of an attempt, in bytes.
pub const MAX_BYTES: usize = 64 << 10;

/// Bytes of its beginning that are sent as they come.
const HEAD_BYTES: usize = 44 << 10;

/// Bytes of its end that are kept after those.
const TAIL_BYTES: usize = 18 << 10;

/// Longest line; the rest is cut off.
const LINE_BYTES: usize = 2 << 10;

/// A part of the log of an attempt. Parts come in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPart {
    /// Position in the log, in bytes.
    pub offset: u64,
    /// Whole lines without terminal control characters.
    pub text: String,
}

/// The log of one attempt, shared between the threads that log and the one that sends.
#[derive(Debug, Clone, Default)]
pub struct TrialLog(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    /// The part of the beginning that has not been taken yet.
    pending: String,
    /// Bytes of the beginning, taken or not.
    head: usize,
    tail: VecDeque<String>,
    tail_bytes: usize,
    left_out: usize,
}

impl TrialLog {
    /// The log of the attempt that this span belongs to, if it is kept.
    pub fn of(span: &Span) -> Option<Self> {
        let find = |(id, dispatch): (&Id, &tracing::Dispatch)| {
            let registry = dispatch.downcast_ref::<Registry>()?;
            registry.span(id)?.extensions().get::<Self>().cloned()
        };
        span.with_subscriber(find).flatten()
    }

    /// Adds a line.
    pub fn push(&self, line: &str) {
        let mut line =
            for_terminal(text::beginning(line.trim_end(), LINE_BYTES)).replace('\n', "\n    ");
        line.push('\n');
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.tail.is_empty() && lines.head + line.len() <= HEAD_BYTES {
            lines.head += line.len();
            lines.pending.push_str(&line);
            return;
        }
        lines.tail_bytes += line.len();
        lines.tail.push_back(line);
        while lines.tail_bytes > TAIL_BYTES {
            lines.tail_bytes -= lines.tail.pop_front().map_or(0, |line| line.len());
            lines.left_out += 1;
        }
    }

    /// Takes the lines of the beginning that are new since the last call.
    pub fn take(&self) -> String {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).pending)
    }

    /// Takes all that is left, when the attempt ends.
    pub fn finish(&self) -> String {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = mem::take(&mut lines.pending);
        let left_out = mem::take(&mut lines.left_out);
        if left_out > 0 {
            writeln!(text, "[{left_out} lines are left out here]").expect("writing to a string");
        }
        text.extend(lines.tail.drain(..));
        text
    }
}

/// Lets the logs of trials have INFO and above, and all lines of [`TARGET`]. All spans pass: a span
/// that does not is not found.
pub(crate) fn filter() -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    filter_fn(|metadata| *metadata.level() <= Level::INFO || metadata.target() == TARGET)
        .with_max_level_hint(LevelFilter::DEBUG)
}

/// Keeps the lines of spans named [`SPAN`].
#[derive(Debug, Clone, Copy)]
pub struct TrialLogs;

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for TrialLogs {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().name() == SPAN
            && let Some(span) = context.span(id)
        {
            span.extensions_mut().insert(TrialLog::default());
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(scope) = context.event_scope(event) else { return };
        for span in scope {
            if let Some(log) = span.extensions().get::<TrialLog>() {
                return log.push(&line(event));
            }
        }
    }
}

fn line(event: &Event<'_>) -> String {
    let mut line = String::new();
    SystemTime.format_time(&mut Writer::new(&mut line)).ok();
    write!(line, " {:5} ", event.metadata().level().as_str()).expect("writing to a string");
    let mut fields = Fields::default();
    event.record(&mut fields);
    line + fields.message.trim_end() + &fields.others
}

#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.others, " {name}={value:?}"),
        }
        .expect("writing to a string");
    }
}

#[cfg(test)]
mod tests {
    use tracing::{debug, info, info_span, warn};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn lines_go_to_their_attempt() {
        tracing::subscriber::with_default(
            tracing_subscriber::registry().with(TrialLogs.with_filter(filter())),
            || {
                let (one, other) = (info_span!("trial", lease = 1), info_span!("trial", lease = 2));
                one.in_scope(|| {
                    info!(step = 100, "goes on");
                    info_span!("inner")
                        .in_scope(|| warn!(file = "a b", "odd \u{1b}[31m\u{9b}1mred"));
                    debug!("too much");
                    debug!(target: TARGET, "and yet wanted");
                });
                other.in_scope(|| info!("another"));
                info!("nobody's");
                let text = |span| TrialLog::of(span).unwrap().take();
                let (first, second) = (text(&one), text(&other));
                let lines: Vec<_> =
                    first.lines().map(|line| line.split_once(' ').unwrap().1.trim()).collect();
                let expected = [
                    "INFO  goes on step=100",
                    "WARN  odd ?[31m??1mred file=\"a b\"",
                    "DEBUG and yet wanted",
                ];
                assert_eq!(lines, expected);
                assert!(
                    second.ends_with("INFO  another\n") && second.lines().count() == 1,
                    "{second}"
                );
                assert_eq!(text(&one), "", "what was taken does not come again");
            },
        );
        assert!(TrialLog::of(&info_span!("trial")).is_none(), "nobody keeps it");
    }

    #[test]
    fn a_flood_costs_the_middle() {
        let log = TrialLog::default();
        let mut sent = String::new();
        for number in 0..20_000 {
            log.push(&format!("line {number}"));
            if number % 100 == 0 {
                sent += &log.take();
            }
        }
        sent += &log.finish();
        assert!(sent.len() <= MAX_BYTES && sent.len() > MAX_BYTES - (4 << 10), "{}", sent.len());
        let lines: Vec<_> = sent.lines().collect();
        let gap = lines.iter().position(|line| line.ends_with("lines are left out here]")).unwrap();
        assert_eq!((lines[0], lines[lines.len() - 1]), ("line 0", "line 19999"));
        let left_out = 20_000 - (lines.len() - 1);
        assert_eq!(lines[gap], format!("[{left_out} lines are left out here]"));
        assert_eq!(lines[gap + 1], format!("line {}", gap + left_out));
        assert_eq!(log.finish(), "", "an end comes once");
        // One endless line is cut, between characters.
        log.push(&"ä".repeat(LINE_BYTES));
        assert!(TrialLog::default().finish().is_empty());
    }
}
