//! One mutant, its name, and the draw of a sample.

use std::collections::BTreeMap;

/// One change of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Path of the file, relative to the workspace.
    pub file: String,
    /// Line, from one.
    pub line: usize,
    /// Column, from one.
    pub column: usize,
    /// The function that contains it: `function` or `Type::function`.
    pub function: String,
    /// What changes, such as "`==` becomes `!=`".
    pub change: String,
    /// The source text that changes, in one line.
    pub original: String,
    /// A hash of all of the above but line and column. Of mutants that are otherwise equal, the place in the
    /// function tells them apart. So the name of a mutant stays the same when other code changes.
    pub id: String,
}

/// FNV-1a with 64 bits, and a final mix, so that similar texts have unrelated hashes.
fn hash(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ fnv >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ mixed >> 33
}

/// Sets the names of all mutants, which are in the order of the source.
pub fn name(mutants: &mut [Mutant]) {
    let mut seen = BTreeMap::new();
    for mutant in mutants {
        let Mutant { file, function, change, original, .. } = &*mutant;
        let key = format!("{file}\n{function}\n{change}\n{original}");
        let nth = seen.entry(key.clone()).and_modify(|n| *n += 1).or_insert(0);
        mutant.id = format!("{:012x}", hash(&format!("{key}\n{nth}")) >> 16);
    }
}

/// Draws `count` positions of `mutants`, in the order of the draw. The rank of a mutant depends on the seed and
/// its name only, so a sample changes little when the sources do.
#[must_use]
pub fn draw(mutants: &[Mutant], seed: u64, count: usize) -> Vec<usize> {
    let mut ranked: Vec<_> = (0..)
        .zip(mutants)
        .map(|(at, mutant)| (hash(&format!("{seed} {}", mutant.id)), at))
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(count).map(|(_, at)| at).collect()
}
