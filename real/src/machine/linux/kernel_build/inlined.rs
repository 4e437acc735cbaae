//! The functions that the compiler has inlined at a place of a kernel: addr2line of the build system reads its DWARF.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use super::built::BuiltKernel;
use super::context;
use crate::kernel_build::Feature;
use crate::machine::Failure;
use crate::machine::linux::build_root::{self, isolated};
use crate::machine::linux::cache::Cache;
use crate::machine::linux::process::output;

/// The symbols of a kernel, in its folder.
const SYMBOLS: &str = "System.map";
/// Where the addresses are, in a temporary folder.
const ADDRESSES: &str = "addresses";
/// Arguments: the system, the folder of the kernel, the file with the addresses.
const ADDR2LINE: &str = r#"
mkdir -p "$1/build"
mount --bind "$2" "$1/build"
exec chroot "$1" addr2line --addresses --functions --inlines --exe /build/vmlinux <"$3"
"#;

/// The functions at each place (`FUNCTION+0xOFFSET`, a return address), the innermost first: those that are inlined
/// there, and the one that they are inlined into.
///
/// A place that is not known is missing in the result: the kernel has no DWARF, no such function, or several of that
/// name.
///
/// # Errors
///
/// [`Failure`]: there is no such kernel, or its files cannot be read.
pub fn inlined(
    name: &str,
    places: &BTreeSet<String>,
) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let cache = Cache::of_user().map_err(Failure::NotRun)?;
    let found = || -> Result<BTreeMap<String, Vec<String>>, String> {
        let kernel =
            super::find(&cache, name).ok_or_else(|| format!("no kernel is called {name}"))?;
        if !kernel.features.contains(&Feature::DebugInfo) || places.is_empty() {
            return Ok(BTreeMap::new());
        }
        look_up(&cache, &kernel, places)
    };
    found().map_err(super::failure)
}

fn look_up(
    cache: &Cache,
    kernel: &BuiltKernel,
    places: &BTreeSet<String>,
) -> Result<BTreeMap<String, Vec<String>>, String> {
    let map = kernel.folder.join(SYMBOLS);
    let map = fs::read_to_string(&map).map_err(|error| context(&map, &error))?;
    let addresses = addresses(&map, places);
    let work = tempfile::tempdir().map_err(|error| format!("a temporary folder: {error}"))?;
    let file = work.path().join(ADDRESSES);
    let text = addresses.keys().fold(String::new(), |mut text, address| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{address:x}");
        text
    });
    fs::write(&file, text).map_err(|error| context(&file, &error))?;
    let root = build_root::get_for_kernels(cache)?;
    let mut command = isolated("sh");
    command.args(["-ec", ADDR2LINE, "sh"]).arg(root).arg(&kernel.folder).arg(&file);
    let printed = output(command)?.stdout;
    let mut functions = parse(&String::from_utf8_lossy(&printed));
    let named = addresses.iter().flat_map(|(address, places)| {
        let functions = functions.remove(address).unwrap_or_default();
        places.iter().map(move |place| ((*place).to_owned(), functions.clone()))
    });
    Ok(named.filter(|(_, functions)| !functions.is_empty()).collect())
}

/// The address of the call before each return address, with the places that have it.
fn addresses<'p>(map: &str, places: &'p BTreeSet<String>) -> BTreeMap<u64, Vec<&'p str>> {
    let mut symbols: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for line in map.lines() {
        let mut words = line.split(' ');
        let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if let Ok(address) = u64::from_str_radix(address, 16) {
            symbols.entry(name).or_default().push(address);
        }
    }
    let mut found = BTreeMap::<u64, Vec<&str>>::new();
    for place in places {
        let Some((name, offset)) = place.split_once("+0x") else { continue };
        let Ok(offset) = u64::from_str_radix(offset, 16) else { continue };
        if let Some(&[start]) = symbols.get(name).map(Vec::as_slice) {
            found.entry((start + offset).saturating_sub(1)).or_default().push(place);
        }
    }
    found
}

/// What addr2line prints: a line with the address, then for each function a line with its name and one with file and
/// line.
fn parse(printed: &str) -> BTreeMap<u64, Vec<String>> {
    let mut found = BTreeMap::<u64, Vec<String>>::new();
    let mut address = None;
    let mut lines = printed.lines();
    while let Some(line) = lines.next() {
        if let Some(hex) = line.strip_prefix("0x") {
            address = u64::from_str_radix(hex, 16).ok();
            continue;
        }
        // The line after the name has the place in the source.
        let _ = lines.next();
        if let Some(address) = address.filter(|_| line != "??") {
            found.entry(address).or_default().push(line.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_the_call_and_a_name_that_two_functions_have_is_not_known() {
        let map = "ffffffff81000000 T _text\nffffffff81000100 t io_pin_pages\nffffffff81000200 t twice\n\
                   ffffffff81000300 t twice\n";
        let places = ["io_pin_pages+0x1f", "twice+0x1", "absent+0x1", "io_pin_pages"]
            .map(str::to_owned)
            .into();
        let found = addresses(map, &places);
        assert_eq!(found, BTreeMap::from([(0xffff_ffff_8100_011e, vec!["io_pin_pages+0x1f"])]));
    }

    #[test]
    fn the_functions_of_an_address_are_the_inlined_ones_and_their_caller() {
        let printed = "0xffffffff81000010\nio_zcrx_append_area\n/build/io_uring/zcrx.c:487\n\
                       __zcrx_create_area\n/build/io_uring/zcrx.c:580 (discriminator 2)\n0xffffffff81000020\n??\n??:0\n";
        assert_eq!(
            parse(printed),
            BTreeMap::from([(
                0xffff_ffff_8100_0010,
                ["io_zcrx_append_area", "__zcrx_create_area"].map(str::to_owned).to_vec()
            )])
        );
    }
}
