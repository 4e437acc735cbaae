#![allow(missing_docs)]
use ifq_model::revision::Variant;
use ifq_sim::explore::*;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let max: u64 = args[1].parse().unwrap();
    for f in &args[2..] {
        let test = ifq_sim::file::load(f).unwrap();
        for v in test.variants() {
            let v: Variant = v;
            let l = Limits {
                max_states: max,
                workers: std::env::var("W").map_or(1, |w| w.parse().unwrap()),
                ..Limits::default()
            };
            let old = std::env::var("OLD").is_ok();
            let b = explore(&test, &v, &l, &mut |_| {});
            let t = |e: &Exploration| {
                (
                    e.counterexample.as_ref().map(|c| c.violation.invariant),
                    e.outcomes.len(),
                    e.exhaustive,
                )
            };
            let p = explore(
                &test,
                &v,
                &Limits {
                    persistent_sets: std::env::var("PS").is_ok(),
                    sleep_sets: std::env::var("SL").is_ok(),
                    ..l
                },
                &mut |_| {},
            );
            let n = std::path::Path::new(f).file_stem().unwrap().to_string_lossy().to_string();
            print!(
                "{n} {v}: fast {:?} states {} tr {} runs {} passes {} {:.3}s {:.0}/s",
                t(&b),
                b.states,
                b.transitions,
                b.runs,
                b.passes,
                b.elapsed.as_secs_f64(),
                b.states as f64 / b.elapsed.as_secs_f64()
            );
            print!(
                " | plain {:?} states {} tr {} {:.3}s {}",
                t(&p),
                p.states,
                p.transitions,
                p.elapsed.as_secs_f64(),
                if (t(&b).0, &b.outcomes) != (t(&p).0, &p.outcomes) && t(&b).0.is_none()
                    || t(&b).0.is_some() != t(&p).0.is_some()
                {
                    "DIFFERENT"
                } else {
                    ""
                }
            );
            if old {
                let a = ifq_sim::reference::explore(&test, &v, &l);
                print!(
                    " | old {:?} states {} {:.3}s {}",
                    t(&a),
                    a.states,
                    a.elapsed.as_secs_f64(),
                    if (t(&a).0, &a.outcomes) != (t(&b).0, &b.outcomes)
                        && (t(&a).0.is_some() || a.exhaustive)
                    {
                        "DIFFERENT"
                    } else {
                        ""
                    }
                );
            }
            println!();
        }
    }
}
