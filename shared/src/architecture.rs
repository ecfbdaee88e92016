//! The classifiers that a grid can name: one table of networks as lists of layers (Rannen Triki et
//! al. 2019, section 4).

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use serde::{Serialize, Serializer};

use crate::{
    choice::choice,
    image::ImageShape,
    layers::{self, Kernel, LayerSpec, Placed, Unfit},
};

choice! {
    /// A regulariser that is a layer of the classifier.
    Switch {
        /// Dropout.
        Dropout = "dropout",
        /// Batch norm.
        BatchNorm = "bn",
    }
}

/// A row of the table.
#[derive(Debug)]
pub struct Design {
    /// Its name in grid files.
    pub name: &'static str,
    /// Name of the architecture without its switch.
    pub network: &'static str,
    /// The regulariser that it has beyond that.
    pub switch: Option<Switch>,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// Its layers, from the image to the logits.
    pub layers: &'static [LayerSpec],
}

/// A classifier: a handle of its row. Architectures of one name are the same.
#[derive(Clone, Copy)]
pub struct Architecture(&'static Design);

const fn conv5(out: u32) -> LayerSpec {
    LayerSpec::Conv { out, kernel: Kernel::Side(5) }
}

/// The third convolution of `lenet` covers all that it gets.
const CONV_WHOLE: LayerSpec = LayerSpec::Conv { out: 500, kernel: Kernel::Whole };

impl Architecture {
    /// The first row of the table.
    pub const NET: Self = Self::ALL[0];
    /// The second one.
    pub const NET_DROPOUT: Self = Self::ALL[1];
    /// The third one.
    pub const LENET: Self = Self::ALL[2];
    /// The fourth one.
    pub const LENET_BN: Self = Self::ALL[3];

    /// The table, in the order in which messages list architectures.
    ///
    /// Dropout of channels stands behind pooling and ReLU, not before them as published: factors that
    /// are not negative commute with both, and here they meet a quarter of the values.
    pub const ALL: &[Self] = &[
        Self(&Design {
            name: "net",
            network: "net",
            switch: None,
            about: "Two convolutions and two fully connected layers with ReLU.",
            layers: &{
                use LayerSpec::{Dense, Logits, Pool, Relu};
                [conv5(10), Pool, Relu, conv5(20), Pool, Relu, Dense { out: 50 }, Relu, Logits]
            },
        }),
        Self(&Design {
            name: "net+dropout",
            network: "net",
            switch: Some(Switch::Dropout),
            about: "`net` with dropout after its second convolution and its first fully connected layer.",
            layers: &{
                use LayerSpec::{Dense, Dropout, Logits, Pool, Relu};
                [
                    conv5(10),
                    Pool,
                    Relu,
                    conv5(20),
                    Pool,
                    Relu,
                    Dropout,
                    Dense { out: 50 },
                    Relu,
                    Dropout,
                    Logits,
                ]
            },
        }),
        Self(&Design {
            name: "lenet",
            network: "lenet",
            switch: None,
            about: "Three convolutions and one fully connected layer, linear but for max-pooling.",
            layers: &{
                use LayerSpec::{Logits, Pool};
                [conv5(20), Pool, conv5(50), Pool, CONV_WHOLE, Logits]
            },
        }),
        Self(&Design {
            name: "lenet+bn",
            network: "lenet",
            switch: Some(Switch::BatchNorm),
            about: "`lenet` with batch norm after each convolution.",
            layers: &{
                use LayerSpec::{BatchNorm, Logits, Pool};
                [
                    conv5(20),
                    Pool,
                    BatchNorm,
                    conv5(50),
                    Pool,
                    BatchNorm,
                    CONV_WHOLE,
                    BatchNorm,
                    Logits,
                ]
            },
        }),
    ];

    /// Their names, in the same order.
    pub const NAMES: &[&'static str] = &{
        let mut names = [""; Self::ALL.len()];
        let mut row = 0;
        while row < names.len() {
            names[row] = Self::ALL[row].0.name;
            row += 1;
        }
        names
    };

    /// The handle of a row that is none of the table, for tests.
    pub const fn of(design: &'static Design) -> Self {
        Self(design)
    }

    /// The one of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|architecture| architecture.name() == name)
    }

    /// The name in grid files.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// What it is, in one sentence.
    pub fn about(self) -> &'static str {
        self.0.about
    }

    /// Its layers, from the image to the logits.
    pub fn layers(self) -> &'static [LayerSpec] {
        self.0.layers
    }

    /// Its place in the table; behind all of them for one that is not there.
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|known| *known == self).unwrap_or(Self::ALL.len())
    }

    /// The architecture without dropout and batch norm.
    pub fn network(self) -> Self {
        Self::by_name(self.0.network).unwrap_or(self)
    }

    /// What it has beyond that.
    pub fn switch(self) -> Option<Switch> {
        self.0.switch
    }

    /// Whether it has batch norm.
    pub fn has_batch_norm(self) -> bool {
        self.layers().contains(&LayerSpec::BatchNorm)
    }

    /// Whether it has dropout.
    pub fn has_dropout(self) -> bool {
        self.layers().contains(&LayerSpec::Dropout)
    }

    /// Its layers in their places, for images of that shape and so many classes.
    ///
    /// # Errors
    /// The first layer that does not fit what comes before it.
    pub fn placed(self, image: ImageShape, classes: u32) -> Result<Vec<Placed>, Unfit> {
        layers::place(self.layers(), image, classes)
    }
}

impl PartialEq for Architecture {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Architecture {}

impl Hash for Architecture {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl PartialOrd for Architecture {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Architecture {
    /// As in the table.
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
    fn a_switch_is_all_that_an_architecture_has_beyond_its_network() {
        for architecture in Architecture::ALL {
            let switch = match architecture.switch() {
                Some(Switch::Dropout) => Some(LayerSpec::Dropout),
                Some(Switch::BatchNorm) => Some(LayerSpec::BatchNorm),
                None => None,
            };
            let without: Vec<_> = architecture
                .layers()
                .iter()
                .copied()
                .filter(|layer| Some(*layer) != switch)
                .collect();
            let network = architecture.network();
            assert_eq!(without, network.layers(), "{architecture}");
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
            assert!(architecture.about().ends_with('.'));
        }
        assert!(Architecture::ALL.is_sorted());
    }

    #[test]
    fn the_bounds_of_images_are_those_of_the_networks() {
        let (least, most) = (*SIDES.start(), *SIDES.end());
        for architecture in Architecture::ALL {
            let fits =
                |side, classes| architecture.placed(ImageShape::grey(side, side), classes).is_ok();
            assert!(fits(least, *CLASSES.end()) && fits(most, *CLASSES.start()));
            assert!(!fits(least - 1, 10), "{architecture}");
        }
    }
}
