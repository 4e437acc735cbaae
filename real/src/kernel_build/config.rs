//! The configuration of a kernel: the fragments, and the comparison with what `make allnoconfig` makes of them.

use std::collections::BTreeMap;

use super::Feature;

/// The smallest kernel with zcrx that boots in QEMU.
const BASE: &str = include_str!("../../kernel/base.config");

/// A line of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Such as `CONFIG_KASAN`.
    pub name: String,
    /// Such as `y`.
    pub value: String,
    /// The fragment: the name of its file.
    pub fragment: String,
    /// Its line there, from 1.
    pub line: usize,
}

/// All lines that the features ask for, the base first. A later line for the same symbol wins.
pub fn fragments<'f>(features: impl IntoIterator<Item = &'f Feature>) -> Vec<Symbol> {
    let features = features.into_iter().map(|f| (format!("{f}.config"), f.fragment()));
    let all = std::iter::once(("base.config".to_owned(), BASE)).chain(features);
    let symbols = all.flat_map(|(fragment, text)| {
        let lines = text.lines().zip(1..).filter(|(line, _)| line.starts_with("CONFIG_"));
        let symbols = lines.filter_map(move |(text, line)| {
            let (name, value) = text.split_once('=')?;
            let (name, value) = (name.to_owned(), value.to_owned());
            Some(Symbol { name, value, fragment: fragment.clone(), line })
        });
        symbols.collect::<Vec<_>>()
    });
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    let symbols: Vec<Symbol> = symbols.collect();
    for (at, symbol) in symbols.iter().enumerate() {
        last.insert(symbol.name.clone(), at);
    }
    let is_last = |(at, symbol): &(usize, Symbol)| last.get(&symbol.name) == Some(at);
    symbols.into_iter().enumerate().filter(is_last).map(|(_, symbol)| symbol).collect()
}

/// Where a `.config` is not what was asked for: one line for each symbol, with the place that asks for it.
#[must_use]
pub fn differences(config: &str, asked: &[Symbol]) -> Vec<String> {
    let values: BTreeMap<&str, &str> = config
        .lines()
        .filter(|line| line.starts_with("CONFIG_"))
        .filter_map(|line| line.split_once('='))
        .collect();
    let differ =
        |symbol: &&Symbol| values.get(&*symbol.name).copied().unwrap_or("n") != symbol.value;
    let describe = |Symbol { name, value, fragment, line }: &Symbol| {
        let got = values.get(&**name).copied().unwrap_or("n");
        format!("{fragment}:{line}: {name}={value} was asked for, and the source makes it {got}")
    };
    asked.iter().filter(differ).map(describe).collect()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    /// What `make allnoconfig` of 7.3.4 made of base, kasan, lockdep, fault-injection, gcov, ubsan and debug-info.
    const RECORDED: &str = include_str!("../../tests/kernel-build/config-7.3.4");

    #[test]
    fn a_recorded_configuration_is_what_its_features_ask_for() {
        let features = [
            Feature::Kasan,
            Feature::Lockdep,
            Feature::FaultInjection,
            Feature::Gcov,
            Feature::Ubsan,
            Feature::DebugInfo,
        ];
        assert_eq!(differences(RECORDED, &fragments(&features)), Vec::<String>::new());
    }

    #[test]
    fn a_symbol_that_the_source_does_not_set_is_named_with_its_place() {
        let found = differences(RECORDED, &fragments(&[Feature::Kcsan]));
        assert!(found[0].starts_with("kcsan.config:2: CONFIG_KCSAN=y was asked for"), "{found:?}");
        assert!(found[0].ends_with("makes it n"), "{found:?}");
        let without =
            RECORDED.replace("CONFIG_IO_URING_ZCRX=y", "# CONFIG_IO_URING_ZCRX is not set");
        let found = differences(&without, &fragments(&[]));
        assert!(found.len() == 1 && found[0].contains("CONFIG_IO_URING_ZCRX=y"), "{found:?}");
    }

    #[test]
    fn every_feature_asks_for_something_and_no_line_is_malformed() {
        for feature in Feature::value_variants() {
            let own = format!("{feature}.config");
            let symbols = fragments(&[*feature]);
            assert!(symbols.iter().any(|symbol| symbol.fragment == own), "{feature}");
            for line in feature.fragment().lines() {
                let is_symbol = line.starts_with("CONFIG_") && line.contains('=');
                assert!(is_symbol || line.starts_with('#') || line.is_empty(), "{own}: {line}");
            }
        }
    }
}
