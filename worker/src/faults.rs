//! Poisoned trials, for the tests of what must survive them. Builds with debug assertions contain them; a release does not.
//!
//! `SWFN_POISON="seed=3,step=200,kind=abort"` poisons all trials of that seed, from that iteration on. Kinds: `abort`, `hang`,
//! `memory` (asks for it until the process has none left), `swell` (takes 400 MiB and goes on) and `panic`, which the trainer takes for
//! an error of torch.
//!
//! `SWFN_SLOW=300` has each trial sleep for so many milliseconds at each report: it takes long enough for something to happen to it, and
//! the machine has time for others.

use crate::trial::report::Observer;

/// The observer of a trial of that seed, with the poison if it is meant for it.
#[cfg(not(debug_assertions))]
pub(crate) fn poisoned<'o>(_seed: u64, observer: Box<dyn Observer + 'o>) -> Box<dyn Observer + 'o> {
    observer
}

#[cfg(debug_assertions)]
pub(crate) use on_purpose::poisoned;

#[cfg(debug_assertions)]
mod on_purpose {
    use std::{cell::RefCell, env, ops::ControlFlow, thread::sleep, time::Duration};

    use swfn_shared::metrics::MetricPoint;

    use super::Observer;
    use crate::trial::report::Stop;

    pub(crate) fn poisoned<'o>(
        seed: u64,
        observer: Box<dyn Observer + 'o>,
    ) -> Box<dyn Observer + 'o> {
        let pause = env::var("SWFN_SLOW")
            .ok()
            .and_then(|text| text.parse().ok())
            .map(Duration::from_millis);
        let observer: Box<dyn Observer + 'o> = match pause {
            Some(pause) => Box::new(Slow { observer, pause }),
            None => observer,
        };
        let Ok(text) = env::var("SWFN_POISON") else { return observer };
        let value = |key: &str| {
            text.split(',').filter_map(|part| part.split_once('=')).find(|(k, _)| *k == key)
        };
        let number = |key| value(key).and_then(|(_, text)| text.parse::<u64>().ok());
        match (number("seed"), number("step"), value("kind")) {
            (Some(guilty), Some(step), Some((_, kind))) if guilty == seed => {
                Box::new(Poisoned { observer, step, kind: kind.to_owned() })
            }
            (Some(_), Some(_), Some(_)) => observer,
            // Not a test that could fail, but one that tests nothing.
            _ => panic!("SWFN_POISON `{text}` is not of the form `seed=3,step=200,kind=abort`"),
        }
    }

    struct Slow<'o> {
        observer: Box<dyn Observer + 'o>,
        pause: Duration,
    }

    impl Observer for Slow<'_> {
        fn points(&mut self, step: u64, points: &[MetricPoint]) -> ControlFlow<Stop> {
            let flow = self.observer.points(step, points);
            if !points.is_empty() {
                sleep(self.pause);
            }
            flow
        }
    }

    struct Poisoned<'o> {
        observer: Box<dyn Observer + 'o>,
        step: u64,
        kind: String,
    }

    impl Observer for Poisoned<'_> {
        fn points(&mut self, step: u64, points: &[MetricPoint]) -> ControlFlow<Stop> {
            let flow = self.observer.points(step, points);
            if step >= self.step {
                take_effect(&self.kind);
            }
            flow
        }
    }

    thread_local! {
        static SWOLLEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    /// Bytes of a trial that swells: more than all else that its process holds.
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
                    // Addresses alone: the limit of the process is what ends it, not the memory of the machine.
                    hoard.push(vec![0_u8; 64 << 20]);
                }
            }
            kind => panic!("a poisoned trial (`{kind}`)"),
        }
    }
}
