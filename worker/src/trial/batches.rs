//! The order in which a trial sees its images.

use super::state::{Misfit, State};
use crate::rng::{Purpose, Stream};

/// Batches of image numbers. Each epoch reshuffles them, and drops its last partial batch.
#[derive(Debug)]
pub struct Batches {
    order: Vec<i64>,
    batch: usize,
    /// Number of images that this epoch has used.
    used: usize,
    stream: Stream,
}

impl Batches {
    /// Batches of `batch` out of `images` images. Seed and purpose determine the order.
    ///
    /// # Panics
    /// If there is no full batch.
    pub fn new(images: usize, batch: usize, seed: u64, purpose: Purpose) -> Self {
        assert!((1..=images).contains(&batch), "batches of {batch} out of {images} images");
        Self {
            order: (0..).take(images).collect(),
            batch,
            used: images,
            stream: Stream::new(seed, purpose),
        }
    }

    /// Ends the epoch early. The next batch starts a fresh one.
    pub fn end_epoch(&mut self) {
        self.used = self.order.len();
    }

    /// Keeps the order and the position in a state, under that name.
    pub(crate) fn keep(&self, name: &str, state: &mut State) {
        state.set_integers(&format!("{name}.order"), &self.order);
        state.set(&format!("{name}.used"), self.used as u64);
        state.set(&format!("{name}.stream"), self.stream.position());
    }

    /// Resumes where [`Self::keep`] left off.
    pub(crate) fn restore(&mut self, name: &str, state: &State) -> Result<(), Misfit> {
        let order = state.integers(&format!("{name}.order"))?;
        let used = state.number(&format!("{name}.used"))? as usize;
        let images = 0..order.len() as i64;
        if order.len() != self.order.len()
            || used > order.len()
            || order.iter().any(|image| !images.contains(image))
        {
            return Err(Misfit::of(name));
        }
        self.stream.go_to(state.position(&format!("{name}.stream"))?);
        (self.order, self.used) = (order, used);
        Ok(())
    }

    /// The next batch.
    pub fn take_next(&mut self) -> &[i64] {
        if self.used + self.batch > self.order.len() {
            self.stream.shuffle(&mut self.order);
            self.used = 0;
        }
        self.used += self.batch;
        &self.order[self.used - self.batch..self.used]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(batches: &mut Batches, count: usize) -> Vec<i64> {
        let mut numbers = Vec::new();
        (0..count).for_each(|_| numbers.extend_from_slice(batches.take_next()));
        numbers
    }

    #[test]
    fn an_epoch_shows_each_image_at_most_once() {
        let mut batches = Batches::new(11, 3, 5, Purpose::CLASSIFIER_BATCHES);
        let (mut first, second) = (draw(&mut batches, 3), draw(&mut batches, 3));
        assert_ne!(first, second);
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 9);
        assert!(first.iter().all(|i| (0..11).contains(i)));
    }

    #[test]
    fn a_fresh_epoch_follows_one_that_was_ended() {
        let whole = |end: bool| {
            let mut batches = Batches::new(6, 2, 5, Purpose::CLASSIFIER_BATCHES);
            let first = draw(&mut batches, 1);
            if end {
                batches.end_epoch();
            }
            let mut next = draw(&mut batches, 3);
            next.sort_unstable();
            (first, next == [0, 1, 2, 3, 4, 5])
        };
        assert_eq!(whole(true).0, whole(false).0);
        assert!(whole(true).1);
        assert!(!whole(false).1);
    }
}
