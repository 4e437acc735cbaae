//! Enums whose values have a word in test files and a sentence of documentation.

/// Defines an enum from lines `Variant "word" "Sentence.";`.
///
/// It generates the enum with its serde names, `ALL` (in the order of the lines), `name` (the word),
/// `about` (the sentence) and `Display` (the word).
macro_rules! named_enum {
    (
        $(#[$meta:meta])*
        $vis:vis enum $enum:ident {
            $($(#[$variant_meta:meta])* $variant:ident $word:literal $about:literal;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize,
            serde::Deserialize,
        )]
        $vis enum $enum {
            $($(#[$variant_meta])* #[doc = $about] #[serde(rename = $word)] $variant,)*
        }

        impl $enum {
            /// All values, in the order of the catalogue.
            pub const ALL: &'static [$enum] = &[$($enum::$variant,)*];

            /// The word that test files and the command line use.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($enum::$variant => $word,)* }
            }

            /// One sentence of documentation.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $($enum::$variant => $about,)* }
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(crate) use named_enum;
