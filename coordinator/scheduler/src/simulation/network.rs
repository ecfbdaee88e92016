//! Streams are ordered and complete until they break. Each end notices that in its own time, and
//! messages on the way may be lost.
//!
//! In wild weather, messages are lost, doubled and overtaken, too, unlike in TCP. The scheduler
//! must stay right then, but work that such a stream has promised may wait for a new stream.

use rand::{Rng, RngExt as _};
use swfn_shared::ids::WorkerId;

use super::{
    message::{Millis, StreamId},
    plan::Weather,
    tally::Tally,
};

/// The direction of a message, and the end of a stream that it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To the coordinator.
    Up,
    /// To the worker.
    Down,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) slot: usize,
    pub(super) worker: WorkerId,
    wild: bool,
    /// By direction: whether the receiving end is open, when the last message arrives, and the time
    /// after which nothing arrives.
    open: [bool; 2],
    last: [Millis; 2],
    cut: [Option<Millis>; 2],
}

#[derive(Debug)]
pub(super) struct Network {
    weather: Weather,
    pub(super) streams: Vec<Stream>,
}

impl Network {
    pub(super) fn new(weather: Weather) -> Self {
        Self { weather, streams: Vec::new() }
    }

    /// Ends the wild weather. Returns the streams that must be renewed.
    pub(super) fn calm_down(&mut self) -> Vec<StreamId> {
        let was_wild = self.weather.wild();
        self.weather = Weather {
            lost: 0.0,
            doubled: 0.0,
            overtaken: 0.0,
            latency: self.weather.latency.min(200),
            ..self.weather
        };
        let open =
            self.streams.iter().enumerate().filter(|(_, stream)| stream.open.contains(&true));
        if was_wild { open.map(|(id, _)| id).collect() } else { Vec::new() }
    }

    pub(super) fn open(&mut self, slot: usize, worker: WorkerId) -> StreamId {
        let wild = self.weather.wild();
        self.streams.push(Stream {
            slot,
            worker,
            wild,
            open: [true; 2],
            last: [0; 2],
            cut: [None; 2],
        });
        self.streams.len() - 1
    }

    /// The arrivals of a message that is sent now: one, or in wild weather none or two. `first`:
    /// the first message of its stream.
    pub(super) fn send(
        &mut self,
        (id, way): (StreamId, Way),
        now: Millis,
        first: bool,
        tally: &mut Tally,
        rng: &mut impl Rng,
    ) -> Vec<Millis> {
        let stream = &mut self.streams[id];
        if !stream.open[other(way) as usize] {
            return Vec::new();
        }
        let mut arrival = now + rng.random_range(0..=self.weather.latency);
        let wild = stream.wild && !first;
        if wild && rng.random_bool(self.weather.lost) {
            tally.fault("message lost");
            return Vec::new();
        }
        if wild && rng.random_bool(self.weather.overtaken) {
            tally.fault("message overtaken");
            arrival += rng.random_range(0..=2_000);
        } else {
            arrival = arrival.max(stream.last[way as usize]);
            stream.last[way as usize] = arrival;
        }
        let mut arrivals = vec![arrival];
        if wild && rng.random_bool(self.weather.doubled) {
            tally.fault("message doubled");
            arrivals.push(arrival + rng.random_range(0..=5_000));
        }
        arrivals
    }

    /// Whether what arrives now is read.
    pub(super) fn reads(&self, id: StreamId, way: Way, now: Millis) -> bool {
        let stream = &self.streams[id];
        stream.open[way as usize] && stream.cut[way as usize].is_none_or(|cut| now <= cut)
    }

    /// Whether the end that this way leads to is open.
    pub(super) fn is_open(&self, id: StreamId, way: Way) -> bool {
        self.streams[id].open[way as usize]
    }

    /// When the last message on this way arrives.
    pub(super) fn last(&self, id: StreamId, way: Way) -> Millis {
        self.streams[id].last[way as usize]
    }

    /// Nothing arrives there any more after that time.
    pub(super) fn cut(&mut self, id: StreamId, way: Way, after: Millis) {
        let cut = &mut self.streams[id].cut[way as usize];
        *cut = Some(cut.map_or(after, |before| before.min(after)));
    }

    /// Closes the end that this way leads to: who is there neither reads nor sends.
    pub(super) fn close(&mut self, id: StreamId, way: Way) {
        self.streams[id].open[way as usize] = false;
    }
}

pub(super) fn other(way: Way) -> Way {
    match way {
        Way::Up => Way::Down,
        Way::Down => Way::Up,
    }
}
