//! Memory that nothing points to (`/sys/kernel/debug/kmemleak`, `Documentation/dev-tools/kmemleak.rst`). Kernels
//! without the file report nothing.

use std::fs;
use std::time::Duration;

const FILE: &str = "/sys/kernel/debug/kmemleak";
/// A younger object is not reported: `MSECS_MIN_AGE` in `mm/kmemleak.c`, and a margin.
const MIN_AGE: Duration = Duration::from_millis(5500);
/// The first line of an object.
const OBJECT: &str = "unreferenced object";

/// The scanner of the kernel.
#[derive(Debug)]
pub struct Kmemleak(());

impl Kmemleak {
    /// Forgets what has leaked so far, and stops the scans of the kernel's own thread. `None`: the kernel has none.
    #[must_use]
    pub fn start() -> Option<Self> {
        ["scan=off", "scan", "clear"].iter().try_for_each(|word| fs::write(FILE, word)).ok()?;
        Some(Kmemleak(()))
    }

    /// What has leaked since. It takes seconds, because younger objects are not reported; `beat` is called meanwhile.
    pub fn leaks(&self, beat: &dyn Fn()) -> Vec<String> {
        std::thread::sleep(MIN_AGE);
        beat();
        // The second scan drops objects whose only pointer was in a register during the first.
        let found = ["scan", "scan"].iter().try_for_each(|word| fs::write(FILE, word));
        beat();
        let text = found.and_then(|()| fs::read_to_string(FILE));
        let leaks =
            text.map_or_else(|error| vec![format!("{FILE}: {error}")], |text| objects(&text));
        // Each is reported once.
        let _ = fs::write(FILE, "clear");
        leaks
    }
}

/// The blocks of the file, one for each object.
fn objects(text: &str) -> Vec<String> {
    let mut objects: Vec<String> = Vec::new();
    for line in text.lines() {
        match objects.last_mut() {
            _ if line.starts_with(OBJECT) => objects.push(line.to_owned()),
            Some(object) => {
                object.push('\n');
                object.push_str(line);
            }
            None => {}
        }
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_of_the_file_is_a_leak_with_its_stack() {
        let text = "unreferenced object 0xffff88810a8d5c00 (size 512):\n  comm \"ifq\", pid 1\n  backtrace (crc 0):\n    \
                    __kmalloc_cache_noprof+0x1\n    io_zcrx_ifq_alloc+0x2\nunreferenced object 0xffff (size 8):\n";
        let found = objects(text);
        assert_eq!(found.len(), 2);
        assert!(found[0].ends_with("io_zcrx_ifq_alloc+0x2"), "{found:?}");
        assert!(objects("").is_empty());
    }
}
