//! Enums whose values have names in files.

/// An enum with the names of its values in grid files, JSON and tables.
macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        pub enum $type {
            $($(#[$variant_doc])* #[serde(rename = $name)] $variant,)+
        }

        impl $type {
            /// All values, the published one first, in the order in which messages list them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The names of all values, in the same order.
            pub const NAMES: &[&'static str] = &[$($name),+];

            /// The name in files.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            pub fn by_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|choice| choice.name() == name)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

/// A setting with a few named values.
macro_rules! choice {
    ($(#[$doc:meta])* $type:ident $values:tt) => {
        $crate::choice::named! { $(#[$doc])* $type $values }
        $crate::choice::field!($type);
    };
}

/// Lets an axis be a field of a type whose values have names.
macro_rules! field {
    ($type:ident) => {
        impl $crate::axes::Field for $type {
            fn value(&self) -> $crate::axes::Value {
                $crate::axes::Value::Name(self.name())
            }

            fn assign(&mut self, value: $crate::axes::Value) -> Option<()> {
                *self = Self::by_name(value.name())?;
                Some(())
            }
        }
    };
}

pub(crate) use {choice, field, named};
