//! Faults for tests of what must survive them, in builds with debug assertions; a release has none.
//!
//! `SWFN_POISON="seed=3,step=200,kind=abort"` poisons all trials of that seed from that iteration
//! on. Kinds: `abort`, `hang`, `memory` (allocates until the process has none left), `swell` (takes
//! 400 MiB and goes on) and `panic`, which the trainer takes for an error of torch.
//!
//! `SWFN_SLOW=300` makes each trial sleep for that many milliseconds at each report, so that tests
//! have time to interfere.

use crate::trial::report::Observer;

/// The observer of a trial, with the faults that are meant for its seed.
#[cfg(not(debug_assertions))]
pub(crate) fn with_faults<'o>(_: u64, observer: Box<dyn Observer + 'o>) -> Box<dyn Observer + 'o> {
    observer
}

#[cfg(debug_assertions)]
pub(crate) use debug::with_faults;

#[cfg(debug_assertions)]
mod debug {
    use std::{cell::RefCell, env, ops::ControlFlow, thread::sleep, time::Duration};

    use swfn_shared::metrics::MetricPoint;

    use super::Observer;
    use crate::trial::report::Stop;

    pub(crate) fn with_faults<'o>(
        seed: u64,
        observer: Box<dyn Observer + 'o>,
    ) -> Box<dyn Observer + 'o> {
        let pause = env::var("SWFN_SLOW").ok().and_then(|text| text.parse().ok());
        let poison = env::var("SWFN_POISON").ok().and_then(|text| poison(&text, seed));
        if pause.is_none() && poison.is_none() {
            return observer;
        }
        Box::new(Faulty { observer, pause: Duration::from_millis(pause.unwrap_or(0)), poison })
    }

    /// The step and the kind of the poison, if it is meant for the seed.
    fn poison(text: &str, seed: u64) -> Option<(u64, String)> {
        let mut parts = text.split(',').filter_map(|part| part.split_once('='));
        let mut value = |key| parts.next().filter(|(name, _)| *name == key).map(|(_, value)| value);
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
        match (number(value("seed")), number(value("step")), value("kind")) {
            (Some(guilty), Some(step), Some(kind)) => {
                (guilty == seed).then(|| (step, kind.to_owned()))
            }
            // A test with a wrong variable would test nothing.
            _ => panic!("SWFN_POISON `{text}` is not of the form `seed=3,step=200,kind=abort`"),
        }
    }

    struct Faulty<'o> {
        observer: Box<dyn Observer + 'o>,
        pause: Duration,
        poison: Option<(u64, String)>,
    }

    impl Observer for Faulty<'_> {
        fn points(&mut self, step: u64, points: &[MetricPoint]) -> ControlFlow<Stop> {
            let flow = self.observer.points(step, points);
            if !points.is_empty() {
                sleep(self.pause);
            }
            match &self.poison {
                Some((first, kind)) if step >= *first => take_effect(kind),
                _ => {}
            }
            flow
        }
    }

    thread_local! {
        static SWOLLEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    /// Bytes of a swelling trial: more than the rest of its process.
    const SWELL: usize = 400 << 20;

    fn take_effect(kind: &str) {
        match kind {
            "abort" => std::process::abort(),
            "swell" => SWOLLEN.with_borrow_mut(|held| held.resize(SWELL, 1)),
            "hang" => loop {
                sleep(Duration::from_secs(1));
            },
            "memory" => {
                let mut hoard = Vec::new();
                loop {
                    // Address space only: the limit of the process ends it, not the machine's
                    // memory.
                    hoard.push(vec![0_u8; 64 << 20]);
                }
            }
            kind => panic!("a poisoned trial (`{kind}`)"),
        }
    }
}
