//! Live progress: bars on a terminal, otherwise a line now and then.

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
};
use swfn_store::Reader;
use tokio::sync::watch;
use tracing::info;

use crate::custody::trials;

/// Time without a worker after which a person is told what to start.
const PATIENCE: Duration = Duration::from_secs(10);

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

    /// A command with its options, to be copied: on a terminal a line each, so that none breaks in an address.
    pub(crate) fn command(&self, command: &str) -> String {
        if self.is_live() { command.replace(" --", " \\\n  --") } else { command.to_owned() }
    }

    /// What a user has to know: above the bars, or as a line of the log.
    pub(crate) fn say(&self, text: &str) {
        if self.is_live() {
            output::print_message(text);
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

/// What the results say so far, made anew when there are more of them.
pub(crate) struct Standing {
    pub(crate) summary: LiveSummary,
    pub(crate) reader: Reader,
    /// Trials that it has counted, and what they say.
    counted: usize,
    text: String,
}

impl Standing {
    pub(crate) fn new(summary: LiveSummary, reader: Reader) -> Self {
        Self { summary, reader, counted: 0, text: "no result yet".to_owned() }
    }

    async fn of(&mut self, counts: Counts) -> String {
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
    if let Some(bars) = &terminal.bars {
        let style =
            |template| ProgressStyle::with_template(template).expect("the template is constant");
        // Hidden until they are among the bars: a bar of its own would write to the terminal itself.
        let hidden =
            |length| ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        let [bar, counts, results] = [1000, 1, 1].map(hidden);
        bar.set_style(style("{prefix} {bar:20} {wide_msg}").progress_chars("━╸─"));
        bar.set_prefix(sweep);
        [&counts, &results].iter().for_each(|line| line.set_style(style("  {wide_msg}")));
        let [bar, counts, results] = [bar, counts, results].map(|bar| bars.add(bar));
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            let (share, told, so_far) =
                (snapshot.share_done, told(&snapshot), standing.of(snapshot.counts).await);
            let (one, two, three) = (bar.clone(), counts.clone(), results.clone());
            output::draw(move || {
                one.set_position((share * 1000.0) as u64);
                one.set_message(told[0].clone());
                two.set_message(told[1].clone());
                three.set_message(so_far);
            });
            if snapshots.changed().await.is_err() {
                break;
            }
        }
        output::draw(move || [bar, counts, results].iter().for_each(ProgressBar::finish_and_clear));
    } else {
        let mut lines = tokio::time::interval(LINE_PERIOD);
        lines.tick().await;
        loop {
            tokio::select! {
                _ = lines.tick() => {
                    let snapshot = snapshots.borrow().clone();
                    let so_far = standing.of(snapshot.counts).await;
                    info!("{}; {so_far}", told(&snapshot).join("; "));
                }
                changed = snapshots.changed() => if changed.is_err() { break },
            }
        }
    }
}

/// Says once what to start where no worker has come for a while.
pub(crate) async fn tell_what_to_start(
    terminal: Terminal,
    url: String,
    mut snapshots: watch::Receiver<Snapshot>,
) {
    let somebody =
        snapshots.wait_for(|snapshot| snapshot.workers > 0 || snapshot.counts.finished());
    if tokio::time::timeout(PATIENCE, somebody).await.is_err() {
        terminal.say(&what_to_start(&url));
    }
}

fn what_to_start(url: &str) -> String {
    format!(
        "no worker has joined for {} s: start some with `swfn-worker --coordinator {url}`, or stop this and run it with \
         `--local-workers auto`",
        PATIENCE.as_secs()
    )
}

/// How far it is and how long it will take, then the counts.
fn told(snapshot: &Snapshot) -> [String; 2] {
    let counts = snapshot.counts;
    let total = counts.total();
    let mut far = format!("{} %", decimal(100.0 * snapshot.share_done, 0));
    // Without workers it would take for ever, whatever the pace was.
    if let Some(remaining) =
        snapshot.remaining().filter(|_| snapshot.workers > 0 && !counts.finished())
    {
        far += &format!(", about {} left", HumanDuration(remaining));
    }
    let mut parts = vec![
        format!("{} of {} done", counts.succeeded, trials(total)),
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
        1 => "1 worker".to_owned(),
        workers => format!("{workers} workers"),
    });
    [far, parts.join(", ")]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn one_share_counts_and_time_only_with_workers() {
        let counts = Counts { pending: 3, leased: 1, succeeded: 1, quarantined: 0 };
        let elapsed = Duration::from_secs(60);
        let mut snapshot =
            Snapshot { counts, workers: 1, share_done: 0.25, elapsed, ..Snapshot::default() };
        assert_eq!(
            told(&snapshot),
            ["25 %, about 3 minutes left", "1 of 5 trials done, 1 running, 1 worker"]
        );
        snapshot.workers = 0;
        snapshot.running = Arc::default();
        assert_eq!(
            told(&snapshot),
            ["25 %", "1 of 5 trials done, 1 running, no worker is connected"]
        );
    }
}
