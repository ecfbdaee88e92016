//! Enums whose values have names in grid files.

/// Settings with a few named values: the enum, its names in grid files and on the wire, and the way back.
macro_rules! choice {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        pub enum $type {
            $($(#[$variant_doc])* #[serde(rename = $name)] $variant,)+
        }

        impl $type {
            /// All of them, the published one first, in the order in which messages list them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Their names, in the same order.
            pub const NAMES: &[&'static str] = &[$($name),+];

            /// The name in grid files.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The one of that name.
            pub fn by_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|choice| choice.name() == name)
            }
        }
    };
}

pub(crate) use choice;
