//! Images of trials on a device.

use tch::Tensor;

use super::batches::Batches;

/// Images and labels on a device.
#[derive(Debug)]
pub struct Images {
    /// Pixels in normalised units, `[N, H, W, C]`.
    pub pixels: Tensor,
    /// Classes, `[N]`.
    pub labels: Tensor,
}

/// The subsets of K lanes, concatenated.
#[derive(Debug)]
pub(crate) struct Pool {
    /// `[sum of all n, H, W, C]` in normalised units.
    pixels: Tensor,
    /// `[sum of all n]`.
    labels: Tensor,
    /// First image and number of images of each lane.
    lanes: Vec<(i64, i64)>,
}

impl Pool {
    pub(crate) fn new(subsets: &[&Images]) -> Self {
        let mut lanes = Vec::new();
        let mut start = 0;
        for subset in subsets {
            let images = subset.labels.size()[0];
            lanes.push((start, images));
            start += images;
        }
        let joined = |of: fn(&Images) -> &Tensor| match subsets {
            [one] => of(one).shallow_clone(),
            many => Tensor::cat(&many.iter().map(|images| of(images)).collect::<Vec<_>>(), 0),
        };
        Self {
            pixels: joined(|images| &images.pixels),
            labels: joined(|images| &images.labels),
            lanes,
        }
    }

    /// Height, width and channels.
    pub(crate) fn image(&self) -> [i64; 3] {
        sizes(&self.pixels)
    }

    /// Number of images of a lane.
    pub(crate) fn images(&self, lane: usize) -> i64 {
        self.lanes[lane].1
    }

    /// The numbers of a lane's images in the pool, from those in its subset.
    pub(crate) fn numbers(&self, lane: usize, within: &[i64]) -> Vec<i64> {
        let (start, _) = self.lanes[lane];
        within.iter().map(|number| start + number).collect()
    }

    /// The image numbers of the next `steps` batches of all lanes: step by step, each lane by lane.
    pub(crate) fn next_batches<'b>(
        &self,
        batches: impl Iterator<Item = &'b mut Batches>,
        steps: usize,
    ) -> Vec<i64> {
        let mut numbers = vec![Vec::new(); steps];
        for (lane, batches) in batches.enumerate() {
            for numbers in &mut numbers {
                numbers.extend(self.numbers(lane, batches.take_next()));
            }
        }
        numbers.concat()
    }

    /// The images with these numbers, `[count, H, W, C]`.
    pub(crate) fn gather(&self, numbers: &[i64]) -> Tensor {
        self.pixels.index_select(0, &Tensor::from_slice(numbers).to_device(self.pixels.device()))
    }

    /// The images with these numbers, `[count, H, W, C]`, and their labels, `[count]`.
    pub(crate) fn gather_with_labels(&self, numbers: &[i64]) -> (Tensor, Tensor) {
        let numbers = Tensor::from_slice(numbers).to_device(self.pixels.device());
        (self.pixels.index_select(0, &numbers), self.labels.index_select(0, &numbers))
    }
}

/// Height, width and channels of `[N, H, W, C]`.
pub(crate) fn sizes(pixels: &Tensor) -> [i64; 3] {
    pixels.size()[1..].try_into().expect("images have three dimensions")
}
