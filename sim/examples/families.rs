//! Growth of two families of tests with the number of rings, by reduction.
//!
//!     cargo run --release -p ifq-sim --example families -- exit 3 5
//!     cargo run --release -p ifq-sim --example families -- traffic 3 4 --seconds 60
//!
//! In *exit-n* ring A registers an ifq, n - 1 rings import it, and all exit at once. In *traffic-n* each ring holds
//! one buffer; each returns it, flushes the refill ring and exits. Prints a line for each number of rings, each
//! revision and each configuration. A search that a limit ends is a lower bound and is marked.

use std::error::Error;

use ifq_model::revision::{Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::format::parse;
use ifq_sim::search::explore::{Limits, explore};
use ifq_sim::symmetry::Symmetries;

/// The revisions that both families run on.
const REVISIONS: [Revision; 3] = [Revision::Import71, Revision::Import72, Revision::Import73];

/// A search configuration.
struct Configuration {
    name: &'static str,
    limits: fn(Limits) -> Limits,
}

const CONFIGURATIONS: &[Configuration] = &[
    Configuration {
        name: "no reduction",
        limits: |limits| Limits { persistent_sets: false, symmetry: Symmetries::NONE, ..limits },
    },
    Configuration { name: "default", limits: |limits| limits },
    Configuration {
        name: "default and sleep sets",
        limits: |limits| Limits { sleep_sets: true, workers: 1, ..limits },
    },
];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [family, first, last, rest @ ..] = &args[..] else {
        return Err(
            "usage: families exit|traffic FIRST LAST [--seconds N] [--mib N] [--only NAME]".into(),
        );
    };
    let mut limits = Limits { workers: 2, max_states: u64::MAX, ..Limits::default() };
    let mut only = None;
    for option in rest.chunks(2) {
        match option {
            [name, value] if name == "--seconds" => {
                limits.max_time = Some(std::time::Duration::from_secs(value.parse()?));
            }
            [name, value] if name == "--mib" => {
                limits.max_memory = Some(value.parse::<u64>()? << 20);
            }
            [name, value] if name == "--only" => only = Some(value),
            _ => return Err(format!("unknown option {option:?}").into()),
        }
    }
    println!("test,revision,configuration,states,transitions,seconds,MiB,outcomes,complete");
    for rings in first.parse::<usize>()?..=last.parse()? {
        let test = test(family, rings)?;
        for revision in REVISIONS {
            let configurations = CONFIGURATIONS.iter();
            for Configuration { name, limits: with } in
                configurations.filter(|of| only.is_none_or(|only| only == of.name))
            {
                let found = explore(&test, &Variant::of(revision), &with(limits), &mut |_| {});
                if let Some(broken) = found.counterexample {
                    return Err(broken.violation.to_string().into());
                }
                println!(
                    "{family}-{rings},{revision},{name},{},{},{:.2},{},{},{}",
                    found.states,
                    found.transitions,
                    found.elapsed.as_secs_f64(),
                    found.bytes >> 20,
                    found.outcomes.len(),
                    found.exhaustive
                );
            }
        }
    }
    Ok(())
}

/// A member of a family.
fn test(family: &str, rings: usize) -> Result<Test, Box<dyn Error>> {
    let traffic = match family {
        "exit" => false,
        "traffic" => true,
        _ => return Err(format!("there is no family {family}").into()),
    };
    let names: Vec<String> = (0..rings).map(|ring| format!("R{ring}")).collect();
    let mut text = format!(
        "test {family}-{rings}\nabout Generated.\nrevision import-7.1 import-7.2 import-7.3\nring {}\n\
         {}setup\ni0 = R0: register nodev buffers={rings} entries={}\nbox = R0: export i0\n",
        names.join(" "),
        if traffic { "socket s\n" } else { "" },
        rings.next_power_of_two(),
    );
    (1..rings).for_each(|ring| text += &format!("i{ring} = R{ring}: import box\n"));
    text += "close box\n";
    if traffic {
        for ring in 0..rings {
            text +=
                &format!("R{ring}: recv i{ring} s len=10\ns: send 10\nc{ring} = R{ring}: wait\n");
        }
    }
    for ring in 0..rings {
        text += &format!("thread t{ring}\n");
        if traffic {
            text +=
                &format!("r{ring} = return c{ring} to i{ring}\nf{ring} = R{ring}: flush i{ring}\n");
        }
        text += &format!("x{ring} = R{ring}: exit\n");
    }
    let results: Vec<String> = (0..rings).map(|ring| format!("x{ring}")).collect();
    text += &format!("observe {}\nexpect holds\n", results.join(" "));
    Ok(parse(&format!("{family}-{rings}"), &text)?)
}
