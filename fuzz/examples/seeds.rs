//! Writes the seeds of the corpora from the test-file library: `cargo run -p ifq-fuzz --example seeds`.

use std::error::Error;
use std::fs;
use std::path::Path;

use ifq_fuzz::encode::encode;
use ifq_sim::executor::rng::Rng;
use ifq_sim::format::{load, test_files, to_json};

/// Small library tests that use different words of the format.
const PARSE_SEEDS: [&str; 4] = [
    "exit-with-a-receive-in-flight",
    "register-fails-cleanly",
    "data-over-a-device-queue",
    "box-close-races-with-import",
];
/// A library test that holds with the canary's defect, because it registers no ifq.
const CANARY_SEED: &str = "export-of-unknown-id-is-enxio";
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
            println!("{}: no input decodes to these steps", test.name);
            continue;
        };
        println!("{}: {} bytes", test.name, seed.len());
        fs::write(world.join(&test.name), &seed)?;
        // The canary target has to find its violation, so its seed must not show it.
        if test.name == CANARY_SEED {
            fs::write(canary.join(&test.name), &seed)?;
        }
        if PARSE_SEEDS.contains(&test.name.as_str()) {
            fs::copy(path, parse.join(&test.name))?;
            fs::write(parse.join(format!("{}-json", test.name)), to_json(&test))?;
        }
    }
    Ok(())
}
