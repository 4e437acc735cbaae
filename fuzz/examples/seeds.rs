//! Writes the corpora's seeds from the test library: `cargo run -p ifq-fuzz --example seeds`.

use std::error::Error;
use std::fs;
use std::path::Path;

use ifq_fuzz::encode::encode;
use ifq_sim::executor::rng::Rng;
use ifq_sim::format::{load, test_files, to_json};

/// Library tests that are small and differ in their words.
const PARSED: [&str; 3] =
    ["exit-with-a-receive-in-flight", "register-fails-cleanly", "data-over-a-device-queue"];
/// A library test that holds with the canary's defect on: it registers nothing.
const SURVIVED: &str = "export-of-unknown-id-is-enxio";
const SCHEDULE_LEN: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (world, parse) = (here.join("corpus/world"), here.join("corpus/parse"));
    let canary = here.join("corpus/canary");
    for folder in [&world, &parse, &canary] {
        fs::create_dir_all(folder)?;
    }
    for path in &test_files(here.join("../tests/library"))? {
        let test = load(path)?;
        let mut rng = Rng::new(0);
        let schedule: Vec<u8> = (0..SCHEDULE_LEN).map(|_| rng.below(256) as u8).collect();
        let Some(seed) = encode(&test, &schedule) else {
            println!("{}: some steps cannot be decoded", test.name);
            continue;
        };
        println!("{}: {} bytes", test.name, seed.len());
        fs::write(world.join(&test.name), &seed)?;
        // The canary has to find its violation, not to begin with it.
        if test.name == SURVIVED {
            fs::write(canary.join(&test.name), &seed)?;
        }
        if PARSED.contains(&test.name.as_str()) {
            fs::copy(path, parse.join(&test.name))?;
            fs::write(parse.join(format!("{}-json", test.name)), to_json(&test))?;
        }
    }
    Ok(())
}
