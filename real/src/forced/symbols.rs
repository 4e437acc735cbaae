//! The symbols of a guest's kernel, from `/proc/kallsyms`.

use std::collections::BTreeMap;

/// Suffixes that a compiler gives to a function that it changed.
const CHANGED: [&str; 3] = [".isra.0", ".constprop.0", ".part.0"];
/// Names that are offered instead of an unknown one.
const NEAREST: usize = 3;

/// The symbols.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    by_name: BTreeMap<String, u64>,
    by_address: BTreeMap<u64, String>,
}

impl Symbols {
    /// Parses lines of `/proc/kallsyms`. Of equal names the first one counts.
    pub(crate) fn parse(text: &str) -> Self {
        let mut symbols = Symbols::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let address = words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
            let (Some(address), Some(name)) = (address, words.nth(1)) else { continue };
            symbols.by_name.entry(name.to_owned()).or_insert(address);
            symbols.by_address.entry(address).or_insert_with(|| name.to_owned());
        }
        symbols
    }

    /// Whether no symbols were read.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The address of a symbol.
    pub(crate) fn address(&self, name: &str) -> Option<u64> {
        let changed = CHANGED.iter().map(|suffix| format!("{name}{suffix}"));
        let mut names = std::iter::once(name.to_owned()).chain(changed);
        names.find_map(|name| self.by_name.get(&name).copied())
    }

    /// The address of a function.
    ///
    /// # Errors
    ///
    /// A message that names similar symbols.
    pub(crate) fn function(&self, name: &str) -> Result<u64, String> {
        self.address(name).ok_or_else(|| {
            let nearest = self.nearest(name).join(", ");
            format!("the kernel has no function {name}, or inlines it; it has {nearest}")
        })
    }

    /// The first address after a function that starts at `address`.
    pub(crate) fn end(&self, address: u64) -> Option<u64> {
        self.by_address.range(address + 1..).next().map(|(end, _)| *end)
    }

    /// An address as function and offset.
    pub(crate) fn name(&self, address: u64) -> String {
        match self.by_address.range(..=address).next_back() {
            Some((start, name)) => format!("{name}+{:#x}", address - start),
            None => format!("{address:#x}"),
        }
    }

    /// The names that have the longest part in common with a name.
    fn nearest(&self, name: &str) -> Vec<&str> {
        let common = |other: &str| {
            let starts = (0..other.len()).filter(|start| other.is_char_boundary(*start));
            let at = |start: usize| (0..name.len()).map(move |from| (from, start));
            starts
                .flat_map(at)
                .map(|(from, start)| {
                    let (a, b) = (&name.as_bytes()[from..], &other.as_bytes()[start..]);
                    a.iter().zip(b).take_while(|(a, b)| a == b).count()
                })
                .max()
                .unwrap_or(0)
        };
        let mut all: Vec<(usize, &str)> =
            self.by_name.keys().map(|other| (common(other), other.as_str())).collect();
        all.sort_by_key(|(len, other)| (std::cmp::Reverse(*len), other.len(), *other));
        all.into_iter().take(NEAREST).map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_found_and_an_unknown_name_gets_similar_ones() {
        let symbols = Symbols::parse(
            "ffffffff81000000 T io_register_zcrx\nffffffff81000100 t import_zcrx.isra.0\n\
             ffffffff81000200 t io_terminate_zcrx\nffffffff81000300 T mutex_lock\n",
        );
        assert_eq!(symbols.function("import_zcrx"), Ok(0xffff_ffff_8100_0100));
        assert_eq!(symbols.end(0xffff_ffff_8100_0100), Some(0xffff_ffff_8100_0200));
        assert_eq!(symbols.name(0xffff_ffff_8100_0204), "io_terminate_zcrx+0x4");
        let error = symbols.function("io_unregister_zcrx").unwrap_err();
        assert!(error.contains("it has io_register_zcrx, io_terminate_zcrx"), "{error}");
    }
}
