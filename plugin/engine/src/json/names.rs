//! Enums whose variants have the names that a configuration uses.

/// An enum of names.
pub trait Named: Copy + PartialEq + 'static {
    /// All variants, in the order in which messages list their names.
    const ALL: &'static [Self];
    /// Their names, in the same order.
    const NAMES: &'static [&'static str];

    /// The name of this variant.
    fn name(self) -> &'static str {
        let place = Self::ALL.iter().position(|known| *known == self);
        place.and_then(|place| Self::NAMES.get(place)).copied().unwrap_or_default()
    }

    /// The variant of that name.
    fn from_name(name: &str) -> Option<Self> {
        let place = Self::NAMES.iter().position(|known| *known == name)?;
        Self::ALL.get(place).copied()
    }
}

/// Makes such an enum. Its comments are the descriptions of the JSON Schema.
macro_rules! names {
    (
        $(#[$about:meta])*
        pub enum $name:ident { $($(#[$name_about:meta])* $variant:ident = $text:literal,)* }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema), schemars(inline))]
        pub enum $name { $($(#[$name_about])* #[cfg_attr(feature = "schema", serde(rename = $text))] $variant,)* }

        impl $crate::json::Named for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];
            const NAMES: &'static [&'static str] = &[$($text,)*];
        }
    };
}

pub(crate) use names;
