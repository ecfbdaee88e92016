//! The classifiers that a grid can name, as lists of layers.
//!
//! Source: Rannen Triki, Berman, Blaschko 2017, arXiv 1710.06703.

use std::{cmp::Ordering, fmt};

use serde::{Serialize, Serializer};

use crate::{
    choice::{choice, field},
    image::ImageShape,
    layers::{
        self, Kernel,
        LayerSpec::{self, BatchNorm, Dropout, Logits, Pool, Relu},
        Placed, Unfit,
    },
};

choice! {
    /// A regulariser that is a layer of the classifier.
    Switch {
        Dropout = "dropout",
        BatchNorm = "bn",
    }
}

/// A row of the table.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Design {
    /// Name in grid files.
    pub name: &'static str,
    /// Name of the architecture without its switch.
    pub network: &'static str,
    /// The regulariser that it has beyond the network.
    pub switch: Option<Switch>,
    /// Description in one sentence.
    pub about: &'static str,
    /// Layers from the image to the logits.
    pub layers: &'static [LayerSpec],
}

/// A classifier: a row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Architecture(pub &'static Design);

const fn conv5(out: u32) -> LayerSpec {
    LayerSpec::Conv { out, kernel: Kernel::Side(5) }
}

const CONV10: LayerSpec = conv5(10);
const CONV20: LayerSpec = conv5(20);
const CONV50: LayerSpec = conv5(50);
const DENSE50: LayerSpec = LayerSpec::Dense { out: 50 };
/// The third convolution of `lenet`, which covers its whole input.
const WHOLE: LayerSpec = LayerSpec::Conv { out: 500, kernel: Kernel::Whole };

impl Architecture {
    /// The table, in the order in which messages list architectures.
    ///
    /// Dropout of channels stands behind pooling and ReLU, not before them as published: factors
    /// that are not negative commute with both, and here they meet a quarter of the values.
    pub const ALL: &[Self] = &[
        Self(&Design {
            name: "net",
            network: "net",
            switch: None,
            about: "Two convolutions and two fully connected layers with ReLU.",
            layers: &[CONV10, Pool, Relu, CONV20, Pool, Relu, DENSE50, Relu, Logits],
        }),
        Self(&Design {
            name: "net+dropout",
            network: "net",
            switch: Some(Switch::Dropout),
            about: "`net` with dropout after its second convolution and its first fully connected layer.",
            layers: &[
                CONV10, Pool, Relu, CONV20, Pool, Relu, Dropout, DENSE50, Relu, Dropout, Logits,
            ],
        }),
        Self(&Design {
            name: "lenet",
            network: "lenet",
            switch: None,
            about: "Three convolutions and one fully connected layer, linear but for max-pooling.",
            layers: &[CONV20, Pool, CONV50, Pool, WHOLE, Logits],
        }),
        Self(&Design {
            name: "lenet+bn",
            network: "lenet",
            switch: Some(Switch::BatchNorm),
            about: "`lenet` with batch norm after each convolution.",
            layers: &[CONV20, Pool, BatchNorm, CONV50, Pool, BatchNorm, WHOLE, BatchNorm, Logits],
        }),
    ];
    pub const NET: Self = Self::ALL[0];
    pub const NET_DROPOUT: Self = Self::ALL[1];
    pub const LENET: Self = Self::ALL[2];
    pub const LENET_BN: Self = Self::ALL[3];

    /// All names, in the same order.
    pub const NAMES: &[&'static str] = &{
        let mut names = [""; Self::ALL.len()];
        let mut row = 0;
        while row < names.len() {
            names[row] = Self::ALL[row].0.name;
            row += 1;
        }
        names
    };

    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|architecture| architecture.name() == name)
    }

    /// Name in grid files.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Position in the table; one that is not in the table comes after all.
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|known| *known == self).unwrap_or(Self::ALL.len())
    }

    /// The architecture without dropout and batch norm.
    pub fn network(self) -> Self {
        Self::by_name(self.0.network).unwrap_or(self)
    }

    pub fn has_batch_norm(self) -> bool {
        self.0.layers.contains(&BatchNorm)
    }

    pub fn has_dropout(self) -> bool {
        self.0.layers.contains(&Dropout)
    }

    /// The layers with their sizes, for images of this shape and so many classes.
    ///
    /// # Errors
    /// A layer does not fit what comes before it.
    pub fn placed(self, image: ImageShape, classes: u32) -> Result<Vec<Placed>, Unfit> {
        layers::place(self.0.layers, image, classes)
    }
}

field!(Architecture);

impl PartialOrd for Architecture {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The order of the table.
impl Ord for Architecture {
    fn cmp(&self, other: &Self) -> Ordering {
        self.index().cmp(&other.index()).then_with(|| self.name().cmp(other.name()))
    }
}

impl fmt::Debug for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Architecture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{CLASSES, SIDES};

    #[test]
    fn architectures_differ_from_networks_by_their_switch() {
        for architecture in Architecture::ALL {
            let switch = match architecture.0.switch {
                Some(Switch::Dropout) => Some(LayerSpec::Dropout),
                Some(Switch::BatchNorm) => Some(LayerSpec::BatchNorm),
                None => None,
            };
            let without: Vec<_> = architecture
                .0
                .layers
                .iter()
                .copied()
                .filter(|layer| Some(*layer) != switch)
                .collect();
            let network = architecture.network();
            assert_eq!(without, network.0.layers, "{architecture}");
            assert!(
                !network.has_dropout() && !network.has_batch_norm() && network.network() == network
            );
        }
    }

    #[test]
    fn names_are_json_and_lead_back() {
        for (index, architecture) in Architecture::ALL.iter().enumerate() {
            assert_eq!(Architecture::by_name(architecture.name()), Some(*architecture));
            assert_eq!(serde_json::to_value(architecture).unwrap(), architecture.name());
            assert_eq!(
                (architecture.index(), architecture.to_string()),
                (index, format!("{architecture:?}"))
            );
            assert!(architecture.0.about.ends_with('.'));
        }
        assert!(Architecture::ALL.is_sorted());
    }

    #[test]
    fn bounds_of_images_are_those_of_networks() {
        let (least, most) = (*SIDES.start(), *SIDES.end());
        for architecture in Architecture::ALL {
            let fits =
                |side, classes| architecture.placed(ImageShape::grey(side, side), classes).is_ok();
            assert!(fits(least, *CLASSES.end()) && fits(most, *CLASSES.start()));
            assert!(!fits(least - 1, 10), "{architecture}");
        }
    }
}
