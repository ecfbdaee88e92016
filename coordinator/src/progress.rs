//! Live progress: bars on a terminal, otherwise a line now and then.

use std::{io, time::Duration};

use console::Term;
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use swfn_report::rounding::percent;
use swfn_shared::{output, snapshot::Snapshot};
use tokio::sync::watch;
use tracing::info;

/// Time between two lines where there is no terminal.
const LINE_PERIOD: Duration = Duration::from_secs(10);

/// A terminal that may be gone: what it does not take is lost, and nothing else.
#[derive(Debug)]
struct Forgiving(Term);

impl TermLike for Forgiving {
    fn width(&self) -> u16 {
        TermLike::width(&self.0)
    }

    fn height(&self) -> u16 {
        TermLike::height(&self.0)
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_up(lines).or(Ok(()))
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_down(lines).or(Ok(()))
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_right(columns).or(Ok(()))
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_left(columns).or(Ok(()))
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text).or(Ok(()))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text).or(Ok(()))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line().or(Ok(()))
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush().or(Ok(()))
    }
}

/// Bars on a terminal, which log lines take away while they are written.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    /// None where there is no terminal.
    bars: Option<MultiProgress>,
}

impl Terminal {
    /// Starts the thread that writes, too.
    pub(crate) fn new() -> Self {
        let target = || ProgressDrawTarget::term_like(Box::new(Forgiving(Term::buffered_stderr())));
        let bars = output::on_terminal().then(|| MultiProgress::with_draw_target(target()));
        match bars.clone() {
            Some(bars) => output::start(Box::new(move |write| bars.suspend(write))),
            None => output::start_plain(),
        }
        Self { bars }
    }

    /// Whether progress is drawn in place.
    pub(crate) fn is_live(&self) -> bool {
        self.bars.is_some()
    }

    /// What a user has to know: above the bars, or as a line of the log.
    pub(crate) fn say(&self, text: &str) {
        if self.is_live() {
            output::say(text);
        } else {
            info!("{text}");
        }
    }
}

/// Columns of standard output; of no terminal those of a wide one.
pub(crate) fn width() -> u16 {
    const WITHOUT_TERMINAL: u16 = 120;
    Term::stdout().size_checked().map_or(WITHOUT_TERMINAL, |(_, columns)| columns)
}

/// Shows snapshots until their source is gone.
pub(crate) async fn show(terminal: Terminal, sweep: String, mut snapshots: watch::Receiver<Snapshot>) {
    if let Some(bars) = &terminal.bars {
        let style = |template| ProgressStyle::with_template(template).expect("the template is constant");
        let (bar, best) = (ProgressBar::new(1000), ProgressBar::new(1));
        bar.set_style(style("{prefix} {bar:30} {msg}").progress_chars("━╸─"));
        bar.set_prefix(sweep);
        best.set_style(style("  {msg}"));
        let (bar, best) = (bars.add(bar), bars.add(best));
        loop {
            {
                let snapshot = snapshots.borrow_and_update();
                let (share, line, best_line) = (snapshot.share_done, line(&snapshot), best_line(&snapshot));
                let (bar, best) = (bar.clone(), best.clone());
                output::draw(move || {
                    bar.set_position((share * 1000.0) as u64);
                    bar.set_message(line);
                    best.set_message(best_line);
                });
            }
            if snapshots.changed().await.is_err() {
                break;
            }
        }
        output::draw(move || {
            bar.finish_and_clear();
            best.finish_and_clear();
        });
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
            format!("best so far: {} {} % ({seeds})", best.spec.label(), percent(best.mean))
        }
    }
}
