//! Live progress: bars on a terminal, elsewhere a log line every ten seconds.

use std::{io, time::Duration};

use console::Term;
use indicatif::{
    HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike,
};
use swfn_dashboard::LiveSummary;
use swfn_report::{rounding::decimal, so_far};
use swfn_shared::{
    output,
    snapshot::{Counts, Snapshot},
    text,
};
use swfn_store::Reader;
use tokio::sync::watch;
use tracing::info;

/// Time without a worker after which a person is told what to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two log lines where there is no terminal.
const LINE_PERIOD: Duration = Duration::from_secs(10);

/// A terminal whose errors are ignored: it may be gone, and indicatif would panic.
#[derive(Debug)]
struct Forgiving(Term);

macro_rules! forgive {
    ($($name:ident($($argument:ident: $type:ty)?);)*) => {
        $(fn $name(&self $(, $argument: $type)?) -> io::Result<()> {
            self.0.$name($($argument)?).or(Ok(()))
        })*
    };
}

impl TermLike for Forgiving {
    fn width(&self) -> u16 {
        TermLike::width(&self.0)
    }

    fn height(&self) -> u16 {
        TermLike::height(&self.0)
    }

    forgive! {
        move_cursor_up(lines: usize);
        move_cursor_down(lines: usize);
        move_cursor_right(columns: usize);
        move_cursor_left(columns: usize);
        write_line(text: &str);
        write_str(text: &str);
        clear_line();
        flush();
    }
}

/// Bars on a terminal. They are removed while log lines are written.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    /// None where there is no terminal.
    bars: Option<MultiProgress>,
}

impl Terminal {
    /// Also starts the thread that writes.
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

    /// A command to be copied. On a terminal each option has a line, so that no address breaks.
    pub(crate) fn command(&self, command: &str) -> String {
        if self.is_live() { command.replace(" --", " \\\n  --") } else { command.to_owned() }
    }

    /// Prints a line above the bars, or logs it.
    pub(crate) fn say(&self, text: &str) {
        if self.is_live() {
            output::print_message(text);
        } else {
            info!("{text}");
        }
    }
}

/// Columns of standard output: those of the variable COLUMNS, else of the terminal, else of a wide
/// one.
pub(crate) fn width() -> u16 {
    let asked = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let asked = asked.filter(|columns| *columns > 0);
    asked.or(Term::stdout().size_checked().map(|(_, columns)| columns)).unwrap_or(120)
}

/// The answer so far, updated when there are more results.
pub(crate) struct Standing {
    summary: LiveSummary,
    reader: Reader,
    /// Trials that the text counts.
    counted: usize,
    text: String,
}

impl Standing {
    pub(crate) fn new(summary: LiveSummary, reader: Reader) -> Self {
        Self { summary, reader, counted: 0, text: "no result yet".to_owned() }
    }

    async fn update(&mut self, counts: Counts) -> String {
        let ended = counts.succeeded + counts.quarantined;
        if ended != self.counted
            && let Ok(summary) = self.summary.get(&self.reader).await
        {
            self.counted = ended;
            self.text = so_far(&summary);
        }
        self.text.clone()
    }
}

/// Shows snapshots until their source is gone.
pub(crate) async fn show(
    terminal: Terminal,
    sweep: String,
    mut standing: Standing,
    mut snapshots: watch::Receiver<Snapshot>,
) {
    let Some(bars) = &terminal.bars else {
        let mut lines = tokio::time::interval(LINE_PERIOD);
        lines.tick().await;
        loop {
            tokio::select! {
                _ = lines.tick() => {
                    let snapshot = snapshots.borrow().clone();
                    let so_far = standing.update(snapshot.counts).await;
                    info!("{}; {so_far}", describe(&snapshot).join("; "));
                }
                changed = snapshots.changed() => if changed.is_err() { return },
            }
        }
    };
    let style =
        |template| ProgressStyle::with_template(template).expect("the template is constant");
    // Hidden until they are among the bars: a bar of its own would write to the terminal itself.
    let hidden = |length| ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
    let [bar, counts, results] = [1000, 1, 1].map(hidden);
    bar.set_style(style("{prefix} {bar:20} {wide_msg}").progress_chars("━╸─"));
    bar.set_prefix(sweep);
    [&counts, &results].iter().for_each(|line| line.set_style(style("  {wide_msg}")));
    let bars = [bar, counts, results].map(|bar| bars.add(bar));
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        let so_far = standing.update(snapshot.counts).await;
        let ([far, counts], drawn) = (describe(&snapshot), bars.clone());
        output::draw(move || {
            drawn[0].set_position((snapshot.share_done * 1000.0) as u64);
            drawn.iter().zip([far, counts, so_far]).for_each(|(bar, text)| bar.set_message(text));
        });
        if snapshots.changed().await.is_err() {
            break;
        }
    }
    output::draw(move || bars.iter().for_each(ProgressBar::finish_and_clear));
}

/// Prints once what to start if no worker joins for a while.
pub(crate) async fn suggest_workers(
    terminal: Terminal,
    url: String,
    mut snapshots: watch::Receiver<Snapshot>,
) {
    let somebody =
        snapshots.wait_for(|snapshot| snapshot.workers > 0 || snapshot.counts.finished());
    if tokio::time::timeout(PATIENCE, somebody).await.is_err() {
        terminal.say(&format!(
            "no worker has joined for {} s: start some with `swfn-worker --coordinator {url}`, or \
             stop this and run it with `--local-workers auto`",
            PATIENCE.as_secs()
        ));
    }
}

/// The share that is done with the time left, and then the counts.
fn describe(snapshot: &Snapshot) -> [String; 2] {
    let counts = snapshot.counts;
    let mut far = format!("{} %", decimal(100.0 * snapshot.share_done, 0));
    // Without workers the former pace means nothing.
    if let Some(remaining) =
        snapshot.remaining().filter(|_| snapshot.workers > 0 && !counts.finished())
    {
        far += &format!(", about {} left", HumanDuration(remaining));
    }
    let mut parts = vec![
        format!("{} of {} done", counts.succeeded, text::count(counts.total(), "trial")),
        format!("{} running", counts.leased),
    ];
    if let Some(second) = snapshot.verification.filter(|_| counts.finished()) {
        parts.push(format!("{} of {} verified", second.succeeded, second.total()));
    }
    if counts.quarantined > 0 {
        parts.push(format!("{} failed", counts.quarantined));
    }
    parts.push(match snapshot.workers {
        0 => "no worker is connected".to_owned(),
        workers => text::count(workers, "worker"),
    });
    [far, parts.join(", ")]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn time_left_is_shown_only_with_workers() {
        let counts = Counts { pending: 3, leased: 1, succeeded: 1, quarantined: 0 };
        let elapsed = Duration::from_secs(60);
        let mut snapshot =
            Snapshot { counts, workers: 1, share_done: 0.25, elapsed, ..Snapshot::default() };
        assert_eq!(
            describe(&snapshot),
            ["25 %, about 3 minutes left", "1 of 5 trials done, 1 running, 1 worker"]
        );
        snapshot.workers = 0;
        snapshot.running = Arc::default();
        assert_eq!(
            describe(&snapshot),
            ["25 %", "1 of 5 trials done, 1 running, no worker is connected"]
        );
    }
}
