//! The one place that prints: messages on standard error, results on standard output.
//!
//! A terminal in Ctrl-S, a stopped pager or a full pipe holds nothing up: after [`start`], a thread
//! prints the messages from a queue. A full queue drops lines, and prints how many. If the reader
//! is gone, the messages are lost.

use std::{
    collections::VecDeque,
    error::Error,
    fs::File,
    io::{self, ErrorKind, IsTerminal as _, Write},
    os::fd::AsFd as _,
    sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::problem;

/// Bytes that may wait in the queue; further lines are dropped.
const MAX_WAITING_BYTES: usize = 1 << 20;

/// How long the end of a process waits for a reader that takes nothing.
const LAST_PATIENCE: Duration = Duration::from_millis(500);

/// Draws in place, such as progress bars.
type Picture = Box<dyn FnOnce() + Send>;

/// Calls its argument while nothing is drawn in place.
type Around = Box<dyn Fn(&mut dyn FnMut()) + Send>;

/// Output that waits for the thread.
#[derive(Default)]
struct Waiting {
    texts: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines that were dropped since the last one that had room.
    left_out: u64,
    /// The newest picture: older ones need not be drawn.
    picture: Option<Picture>,
    /// Whether the thread is writing.
    busy: bool,
    /// Number of finished writes.
    written: u64,
}

impl Waiting {
    fn is_done(&self) -> bool {
        self.texts.is_empty() && self.picture.is_none() && self.left_out == 0 && !self.busy
    }

    fn push(&mut self, text: &[u8]) {
        if self.bytes + text.len() > MAX_WAITING_BYTES {
            self.left_out += text.iter().filter(|byte| **byte == b'\n').count().max(1) as u64;
            return;
        }
        self.report_left_out();
        self.bytes += text.len();
        self.texts.push_back(text.to_owned());
    }

    fn report_left_out(&mut self) {
        if self.left_out > 0 {
            let lines = format!("{} lines are left out here: the reader stopped", self.left_out);
            let text = crate::telemetry::notice(&lines);
            self.left_out = 0;
            self.bytes += text.len();
            self.texts.push_back(text.into_bytes());
        }
    }
}

/// A queue and the thread that empties it.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// The queue, once there is its thread.
static QUEUE: OnceLock<&Queue> = OnceLock::new();

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes everything that arrives; never returns.
    fn empty(&self, mut write: impl FnMut(&[u8]), around: &Around) {
        let mut waiting = self.lock();
        loop {
            let picture = waiting.picture.take();
            waiting.report_left_out();
            let texts = std::mem::take(&mut waiting.texts);
            if picture.is_none() && texts.is_empty() {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            waiting.busy = true;
            drop(waiting);
            // Bytes count as waiting until they are written.
            let mut written = 0;
            if !texts.is_empty() {
                around(&mut || {
                    texts.iter().for_each(|text| {
                        write(text);
                        written += text.len();
                    });
                });
            }
            if let Some(picture) = picture {
                picture();
            }
            waiting = self.lock();
            waiting.bytes -= written;
            waiting.busy = false;
            waiting.written += 1;
            self.changed.notify_all();
        }
    }

    /// Waits until everything is written, or nothing was written for so long.
    fn settle(&self, patience: Duration) {
        let mut waiting = self.lock();
        let (mut stood, mut since) = (waiting.written, Instant::now());
        while !waiting.is_done() && since.elapsed() < patience {
            let left = patience.saturating_sub(since.elapsed());
            waiting =
                self.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
            if waiting.written != stood {
                (stood, since) = (waiting.written, Instant::now());
            }
        }
    }
}

/// Starts the thread that prints messages; `around` removes pictures while it does.
///
/// Without the thread, messages are printed at once. A device process does that, since its standard
/// error always has a reader.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn start(around: Around) {
    // A thread that waits in a write must not hold the lock of `io::stderr`.
    let Ok(descriptor) = io::stderr().as_fd().try_clone_to_owned() else { return };
    let mut file = File::from(descriptor);
    // A dead terminal or a full disk loses messages, and disturbs nothing else.
    let write = move |text: &[u8]| drop(file.write_all(text));
    let queue: &'static Queue = Box::leak(Box::default());
    let thread = thread::Builder::new().name("output".to_owned());
    // If the system has no room for another thread, messages are printed at once, as before.
    if thread.spawn(move || queue.empty(write, &around)).is_ok() {
        QUEUE.set(queue).ok();
    }
    std::panic::set_hook(Box::new(|panic| {
        print_message(&format!("panic: {panic}\n{}", std::backtrace::Backtrace::capture()));
    }));
}

/// [`start`] for programs that draw nothing in place.
pub fn start_plain() {
    start(Box::new(|write| write()));
}

/// Prints bytes on standard error.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn write(text: &[u8]) {
    if let Some(queue) = QUEUE.get() {
        queue.lock().push(text);
        queue.changed.notify_all();
    } else {
        io::stderr().write_all(text).ok();
    }
}

/// Prints a line on standard error. Never waits, never fails.
pub fn print_message(line: &str) {
    write(format!("{line}\n").as_bytes());
}

/// Draws a picture, unless a newer one comes before its turn.
pub fn draw(picture: impl FnOnce() + Send + 'static) {
    if let Some(queue) = QUEUE.get() {
        queue.lock().picture = Some(Box::new(picture));
        queue.changed.notify_all();
    } else {
        picture();
    }
}

/// Waits until all messages are printed, but not long for a reader that has stopped. For the end of
/// a process, and before a table.
pub fn settle() {
    if let Some(queue) = QUEUE.get() {
        queue.settle(LAST_PATIENCE);
    }
}

/// Ends this process, as [`std::process::exit`] does, after its messages.
pub fn exit(code: i32) -> ! {
    settle();
    std::process::exit(code);
}

/// Whether standard error is a terminal that can draw; a dumb one counts as a file.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn on_terminal() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Standard output.
#[derive(Debug)]
pub struct Results {
    file: File,
    /// Whether the reader has closed it.
    closed: bool,
}

impl Write for Results {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| {
            self.closed |= error.kind() == ErrorKind::BrokenPipe;
            match error.kind() {
                // `write_all` tries again.
                ErrorKind::Interrupted => error,
                kind => io::Error::new(kind, format!("cannot write to standard output: {error}")),
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Lets a function write to standard output. It is no error if the reader closes it.
///
/// # Errors
/// The function fails, or standard output cannot be written, as on a full disk.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn results<E: From<io::Error>>(
    write: impl FnOnce(&mut Results) -> Result<(), E>,
) -> Result<(), E> {
    settle();
    let file = io::stdout().as_fd().try_clone_to_owned()?;
    let mut out = Results { file: file.into(), closed: false };
    let result = write(&mut out);
    if out.closed { Ok(()) } else { result }
}

/// Prints a text on standard output.
pub fn print(text: &str) -> io::Result<()> {
    results(|out| out.write_all(text.as_bytes()))
}

/// An error and its causes, outermost first, and the first hint on a line of its own.
pub fn describe_error(error: &(dyn Error + 'static)) -> String {
    let (what, hint) = problem::describe(error);
    what + &hint.map_or(String::new(), |hint| format!("\nhint: {hint}"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    fn push(queue: &Queue, text: &str) {
        queue.lock().push(text.as_bytes());
        queue.changed.notify_all();
    }

    /// A reader that takes a text only when asked to.
    fn reader(queue: &Arc<Queue>) -> (mpsc::Sender<()>, mpsc::Receiver<String>) {
        let (go_on, may_go_on) = mpsc::channel();
        let (say, said) = mpsc::channel();
        let queue = Arc::clone(queue);
        thread::spawn(move || {
            let write = |text: &[u8]| {
                if may_go_on.recv().is_ok() {
                    say.send(String::from_utf8_lossy(text).into_owned()).ok();
                }
            };
            queue.empty(write, &(Box::new(|write: &mut dyn FnMut()| write()) as Around));
        });
        (go_on, said)
    }

    #[test]
    fn a_stopped_reader_holds_nothing_up() {
        let queue = Arc::<Queue>::default();
        let (go_on, said) = reader(&queue);
        let line = format!("{}\n", "x".repeat(999));
        let lines = 3 * MAX_WAITING_BYTES / line.len();
        (0..lines).for_each(|_| push(&queue, &line));
        assert!(queue.lock().bytes <= MAX_WAITING_BYTES);
        let start = Instant::now();
        queue.settle(Duration::from_millis(20));
        assert!(start.elapsed() < Duration::from_secs(30), "its end is not waited for");
        // As many as wait, and the notices between them.
        (0..lines).for_each(|_| go_on.send(()).unwrap());
        queue.settle(Duration::from_secs(60));
        let (notices, taken): (Vec<_>, Vec<_>) =
            said.try_iter().partition(|text| text.contains("are left out here"));
        let count = |notice: &String| notice.split(' ').next().unwrap().parse::<usize>().unwrap();
        assert_eq!(taken.len(), MAX_WAITING_BYTES / line.len());
        assert_eq!(notices.iter().map(count).sum::<usize>(), lines - taken.len(), "{notices:?}");
        assert_eq!(queue.lock().bytes, 0);
    }

    #[test]
    fn only_the_newest_picture_is_drawn() {
        let queue = Arc::<Queue>::default();
        let (go_on, _said) = reader(&queue);
        push(&queue, "a line that nobody takes yet\n");
        while !queue.lock().busy {
            thread::yield_now();
        }
        let (draw, drawn) = mpsc::channel();
        for number in 0..3 {
            let draw = draw.clone();
            queue.lock().picture = Some(Box::new(move || draw.send(number).unwrap()));
        }
        go_on.send(()).unwrap();
        queue.settle(Duration::from_secs(60));
        assert_eq!(drawn.try_iter().collect::<Vec<_>>(), [2]);
    }
}
