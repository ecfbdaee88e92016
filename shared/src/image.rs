//! The shape of images.

use std::fmt;

/// Height, width and channels of an image. Values lie row by row, with those of a pixel together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageShape {
    pub height: u32,
    pub width: u32,
    /// Values of a pixel: 1 for grey images, 3 for coloured ones.
    pub channels: u32,
}

impl ImageShape {
    pub const fn grey(height: u32, width: u32) -> Self {
        Self { height, width, channels: 1 }
    }

    pub fn pixels(self) -> usize {
        self.height as usize * self.width as usize
    }

    pub fn values(self) -> usize {
        self.pixels() * self.channels as usize
    }

    /// Sizes of the last three dimensions of tensors of images.
    pub fn size(self) -> [i64; 3] {
        [self.height, self.width, self.channels].map(i64::from)
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {} pixels", self.height, self.width)?;
        match self.channels {
            1 => Ok(()),
            channels => write!(f, " of {channels} channels"),
        }
    }
}
