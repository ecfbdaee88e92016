//! The order in which images are trained on.

use super::state::{Misfit, State};
use crate::rng::{Purpose, Stream};

/// Batches of image numbers: reshuffled in each epoch, the last partial batch of an epoch dropped.
#[derive(Debug)]
pub struct Batches {
    order: Vec<i64>,
    batch: usize,
    /// Images of this epoch that were handed out.
    used: usize,
    stream: Stream,
}

impl Batches {
    /// Batches of `batch` out of `images` images, the order by (seed, purpose).
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

    /// Ends the epoch early: the next batch starts a fresh one.
    pub fn end_epoch(&mut self) {
        self.used = self.order.len();
    }

    /// Keeps where it stands in a state, under that name.
    pub(crate) fn keep(&self, name: &str, state: &mut State) {
        state.set_integers(&format!("{name}.order"), &self.order);
        state.set(&format!("{name}.used"), self.used as u64);
        state.set_stream(&format!("{name}.stream"), &self.stream);
    }

    /// Goes on where [`Self::keep`] left off.
    pub(crate) fn restore(&mut self, name: &str, state: &State) -> Result<(), Misfit> {
        let misfit = || Misfit::of(name);
        let order = state.integers(&format!("{name}.order"))?;
        let images = order.len() as i64;
        if order.len() != self.order.len() || order.iter().any(|image| !(0..images).contains(image))
        {
            return Err(misfit());
        }
        let used = usize::try_from(state.number(&format!("{name}.used"))?).map_err(|_| misfit())?;
        if used > order.len() {
            return Err(misfit());
        }
        (self.order, self.used) = (order, used);
        state.restore_stream(&format!("{name}.stream"), &mut self.stream)
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
    fn an_epoch_shows_each_image_at_most_once_and_drops_the_partial_batch() {
        let mut batches = Batches::new(11, 3, 5, Purpose::ClassifierBatches);
        let (mut first, second) = (draw(&mut batches, 3), draw(&mut batches, 3));
        assert_ne!(first, second);
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 9);
        assert!(first.iter().all(|i| (0..11).contains(i)));
    }

    #[test]
    fn an_epoch_that_is_ended_is_followed_by_a_fresh_one() {
        let whole = |end: bool| {
            let mut batches = Batches::new(6, 2, 5, Purpose::ClassifierBatches);
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
