//! Live progress: bars on a terminal, otherwise a line now and then.

use std::{
    io::{self, Write},
    time::Duration,
};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use swfn_report::{cell_label, rounding::percent};
use swfn_shared::snapshot::Snapshot;
use tokio::sync::watch;
use tracing::info;
use tracing_subscriber::fmt::MakeWriter;

/// Time between two lines where there is no terminal.
const LINE_PERIOD: Duration = Duration::from_secs(10);

/// Standard error, shared by progress bars and log lines so that neither tears the other.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    bars: MultiProgress,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        Self { bars: MultiProgress::new() }
    }

    /// Whether progress is drawn in place.
    pub(crate) fn is_live(&self) -> bool {
        !self.bars.is_hidden()
    }

    /// What a user has to know: above the bars, or as a line of the log.
    pub(crate) fn say(&self, text: &str) {
        if self.is_live() {
            self.bars.suspend(|| eprintln!("{text}"));
        } else {
            info!("{text}");
        }
    }
}

/// Writes log lines above the bars.
#[derive(Debug)]
pub(crate) struct LogWriter<'t>(&'t MultiProgress);

impl Write for LogWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'t> MakeWriter<'t> for Terminal {
    type Writer = LogWriter<'t>;

    fn make_writer(&'t self) -> LogWriter<'t> {
        LogWriter(&self.bars)
    }
}

/// Shows snapshots until their source is gone.
pub(crate) async fn show(terminal: Terminal, sweep: String, mut snapshots: watch::Receiver<Snapshot>) {
    if terminal.is_live() {
        let bar = terminal.bars.add(ProgressBar::new(1000));
        let template = "{prefix} {bar:30} {msg}";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is constant").progress_chars("━╸─"));
        bar.set_prefix(sweep);
        let best = terminal.bars.add(ProgressBar::new(1));
        best.set_style(ProgressStyle::with_template("  {msg}").expect("the template is constant"));
        loop {
            {
                let snapshot = snapshots.borrow_and_update();
                bar.set_position((snapshot.share_done * 1000.0) as u64);
                bar.set_message(line(&snapshot));
                best.set_message(best_line(&snapshot));
            }
            if snapshots.changed().await.is_err() {
                break;
            }
        }
        bar.finish_and_clear();
        best.finish_and_clear();
    } else {
        let mut lines = tokio::time::interval(LINE_PERIOD);
        lines.tick().await;
        loop {
            tokio::select! {
                _ = lines.tick() => {
                    let snapshot = snapshots.borrow().clone();
                    info!("{}; {}", line(&snapshot), best_line(&snapshot));
                }
                changed = snapshots.changed() => if changed.is_err() { break },
            }
        }
    }
}

fn line(snapshot: &Snapshot) -> String {
    let counts = snapshot.counts;
    let total = counts.pending + counts.leased + counts.succeeded + counts.quarantined;
    let mut parts = vec![format!("{}/{total} done", counts.succeeded), format!("{} running", counts.leased)];
    if counts.quarantined > 0 {
        parts.push(format!("{} failed", counts.quarantined));
    }
    parts.push(match snapshot.workers {
        0 => "no worker".to_owned(),
        1 => "1 worker".to_owned(),
        workers => format!("{workers} workers"),
    });
    let minutes = snapshot.elapsed.as_secs_f64() / 60.0;
    if snapshot.succeeded_here > 0 && minutes > 0.0 {
        parts.push(format!("{:.1}/min", snapshot.succeeded_here as f64 / minutes));
    }
    if let Some(remaining) = snapshot.remaining()
        && !counts.finished()
    {
        parts.push(format!("{:#} left", HumanDuration(remaining)));
    }
    parts.join(", ")
}

fn best_line(snapshot: &Snapshot) -> String {
    match &snapshot.best {
        None => "no result yet".to_owned(),
        Some(best) => {
            let seeds = if best.seeds == 1 { "1 seed".to_owned() } else { format!("{} seeds", best.seeds) };
            format!("best so far: {} {} % ({seeds})", cell_label(&best.spec), percent(best.mean))
        }
    }
}
