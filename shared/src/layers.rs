//! Networks as lists of layers.
//!
//! Everything about a network follows from its list: sizes, names of weights, work, and whether it
//! has dropout or batch norm.

use std::fmt;

use crate::image::ImageShape;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerSpec {
    /// Convolution with stride 1, without padding.
    Conv {
        /// Output channels.
        out: u32,
        kernel: Kernel,
    },
    /// Max-pooling of 2 x 2 pixels; an odd last row or column is dropped.
    Pool,
    Relu,
    /// Batch norm over all but the channels.
    BatchNorm,
    /// Dropout of whole channels of an image, else of single values.
    Dropout,
    /// Fully connected layer.
    Dense {
        /// Output values.
        out: u32,
    },
    /// The last layer: fully connected, with an output for each class.
    Logits,
}

/// Size of the filters of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Square with sides of so many pixels.
    Side(u32),
    /// As large as the image, so that one pixel is left.
    Whole,
}

/// The data between two layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Image(ImageShape),
    /// Numbers without spatial order.
    Values(u32),
}

/// A layer with its name and sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub layer: LayerSpec,
    /// Name as in PyTorch, such as `conv1`; numbered if the list has several of the kind.
    pub name: String,
    pub input: Shape,
    pub output: Shape,
}

/// A layer that does not fit its input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("layer `{layer}` does not fit {input}")]
pub struct Unfit {
    pub layer: String,
    pub input: Shape,
}

impl LayerSpec {
    /// Name of the kind in PyTorch.
    fn kind(self) -> &'static str {
        match self {
            Self::Conv { .. } => "conv",
            Self::Pool => "pool",
            Self::Relu => "relu",
            Self::BatchNorm => "bn",
            Self::Dropout => "dropout",
            Self::Dense { .. } | Self::Logits => "fc",
        }
    }

    /// Shape of the output; `None` if the layer cannot take the input.
    fn output(self, input: Shape, classes: u32) -> Option<Shape> {
        let image = |height, width, channels| {
            let fits = height > 0 && width > 0 && channels > 0;
            fits.then_some(Shape::Image(ImageShape { height, width, channels }))
        };
        match (self, input) {
            (Self::Relu | Self::BatchNorm | Self::Dropout, _) => Some(input),
            (Self::Conv { out, kernel: Kernel::Whole }, Shape::Image(_)) => {
                Some(Shape::Values(out))
            }
            (Self::Conv { out, kernel: Kernel::Side(side) }, Shape::Image(from)) => {
                let left = |pixels: u32| (pixels + 1).saturating_sub(side.max(1));
                image(left(from.height), left(from.width), out)
            }
            (Self::Pool, Shape::Image(from)) => {
                image(from.height / 2, from.width / 2, from.channels)
            }
            (Self::Conv { .. } | Self::Pool, Shape::Values(_)) => None,
            (Self::Dense { out }, _) => Some(Shape::Values(out)),
            (Self::Logits, _) => Some(Shape::Values(classes)),
        }
    }

    /// Multiply-adds of one image between these shapes.
    pub fn macs(self, input: Shape, output: Shape) -> f64 {
        let (inputs, outputs) = (input.values() as f64, output.values() as f64);
        match self {
            // Output pixels x output channels x taps x input channels.
            Self::Conv { kernel: Kernel::Side(side), .. } => {
                outputs * f64::from(side).powi(2) * f64::from(input.channels())
            }
            Self::Conv { kernel: Kernel::Whole, .. } | Self::Dense { .. } | Self::Logits => {
                inputs * outputs
            }
            Self::Pool | Self::Relu | Self::BatchNorm | Self::Dropout => 0.0,
        }
    }
}

impl Shape {
    /// Channels of an image, or all values.
    pub fn channels(self) -> u32 {
        match self {
            Self::Image(image) => image.channels,
            Self::Values(values) => values,
        }
    }

    pub fn values(self) -> usize {
        match self {
            Self::Image(image) => image.values(),
            Self::Values(values) => values as usize,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(image) => image.fmt(f),
            Self::Values(values) => write!(f, "{values} values"),
        }
    }
}

/// The layers with names and sizes, for images of this shape and so many classes.
///
/// # Errors
/// A layer does not fit what comes before it, or the last layer gives no logits.
pub fn place(layers: &[LayerSpec], image: ImageShape, classes: u32) -> Result<Vec<Placed>, Unfit> {
    let mut shape = Shape::Image(image);
    let mut placed = Vec::with_capacity(layers.len());
    for (index, &layer) in layers.iter().enumerate() {
        let (name, input) = (name(layers, index), shape);
        shape = output(layers, index, input, classes)
            .ok_or_else(|| Unfit { layer: name.clone(), input })?;
        placed.push(Placed { layer, name, input, output: shape });
    }
    Ok(placed)
}

/// Multiply-adds of one image in all layers; `None` if a layer does not fit. Makes no names, since
/// estimates ask for each trial.
pub fn macs(layers: &[LayerSpec], image: ImageShape, classes: u32) -> Option<f64> {
    let mut shape = Shape::Image(image);
    let each = layers.iter().enumerate().map(|(index, layer)| {
        let input = shape;
        shape = output(layers, index, input, classes)?;
        Some(layer.macs(input, shape))
    });
    each.sum()
}

/// Shape of a layer's output; `None` if it does not fit. Logits come last, and only they do.
fn output(layers: &[LayerSpec], index: usize, input: Shape, classes: u32) -> Option<Shape> {
    let (layer, is_last) = (layers[index], index + 1 == layers.len());
    layer.output(input, classes).filter(|_| (layer == LayerSpec::Logits) == is_last)
}

fn name(layers: &[LayerSpec], index: usize) -> String {
    let kind = layers[index].kind();
    let count = |layers: &[LayerSpec]| layers.iter().filter(|layer| layer.kind() == kind).count();
    match count(layers) {
        1 => kind.to_owned(),
        _ => format!("{kind}{}", count(&layers[..=index])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONV: LayerSpec = LayerSpec::Conv { out: 4, kernel: Kernel::Side(3) };

    #[test]
    fn sizes_names_and_work_follow_from_the_list() {
        let layers = [
            CONV,
            LayerSpec::Relu,
            LayerSpec::Pool,
            CONV,
            LayerSpec::Dropout,
            LayerSpec::Dense { out: 7 },
            LayerSpec::Logits,
        ];
        let image = ImageShape { height: 9, width: 12, channels: 3 };
        let placed = place(&layers, image, 5).unwrap();
        let names: Vec<_> = placed.iter().map(|placed| placed.name.as_str()).collect();
        assert_eq!(names, ["conv1", "relu", "pool", "conv2", "dropout", "fc1", "fc2"]);
        let shapes: Vec<_> = placed.iter().map(|placed| placed.output.to_string()).collect();
        let conv1 = "7 x 10 pixels of 4 channels";
        let (pooled, conv2) = ("3 x 5 pixels of 4 channels", "1 x 3 pixels of 4 channels");
        assert_eq!(shapes, [conv1, conv1, pooled, conv2, conv2, "7 values", "5 values"]);
        let macs: Vec<_> =
            placed.iter().map(|placed| placed.layer.macs(placed.input, placed.output)).collect();
        assert_eq!(macs, [280.0 * 27.0, 0.0, 0.0, 12.0 * 36.0, 0.0, 84.0, 35.0]);
        assert_eq!(super::macs(&layers, image, 5), Some(macs.iter().sum()));
        assert_eq!(super::macs(&layers[..6], image, 5), None);
    }

    #[test]
    fn layers_that_do_not_fit_are_named() {
        let problem = |layers: &[LayerSpec], side| {
            place(layers, ImageShape::grey(side, side), 2).unwrap_err().to_string()
        };
        assert_eq!(
            problem(&[CONV, CONV, LayerSpec::Logits], 4),
            "layer `conv2` does not fit 2 x 2 pixels of 4 channels"
        );
        assert_eq!(
            problem(&[LayerSpec::Pool, LayerSpec::Logits], 1),
            "layer `pool` does not fit 1 x 1 pixels"
        );
        let flat = [LayerSpec::Dense { out: 3 }, CONV, LayerSpec::Logits];
        assert_eq!(problem(&flat, 9), "layer `conv` does not fit 3 values");
        assert_eq!(
            problem(&[LayerSpec::Logits, LayerSpec::Relu], 9),
            "layer `fc` does not fit 9 x 9 pixels"
        );
        assert_eq!(problem(&[CONV], 9), "layer `conv` does not fit 9 x 9 pixels");
    }
}
