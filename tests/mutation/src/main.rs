//! Command line of the mutation test, see `docs/mutation-testing.md`.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::sync::Mutex;

use ifq_mutation::kill::Checks;
use ifq_mutation::list::{self, Entry, List, Verdict};
use ifq_mutation::mutant::draw;
use ifq_mutation::report;
use ifq_mutation::schema::{self, Schema};

const USAGE: &str = "usage: ifq-mutation [SEED [COUNT]]  draw mutants and run the checks against them
       ifq-mutation new [SEED COUNT]                only against drawn mutants that the list does not have
       ifq-mutation survivors                       only against survivors that are not equivalent
       ifq-mutation places                          write the places of the list again, without stale mutants
       ifq-mutation report                          write the report into docs/mutation-testing.md
       ifq-mutation all                             print all mutants, and what has none";

/// Checks that run at the same time.
const JOBS: usize = 2;

/// Which mutants of the draw are run.
#[derive(Clone, Copy, PartialEq)]
enum Which {
    All,
    New,
    Survivors,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    let result = match args[..] {
        [] => run(Some((1, 400)), Which::All),
        ["new"] => run(None, Which::New),
        ["new", seed, count] => run(number(seed).zip(number(count)), Which::New),
        ["survivors"] => run(None, Which::Survivors),
        ["places"] => places(),
        ["report"] => write_report(),
        ["all"] => all(),
        [seed] if number(seed).is_some() => run(number(seed).map(|seed| (seed, 400)), Which::All),
        [seed, count] => run(number(seed).zip(number(count)), Which::All),
        _ => Err(io::Error::other(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the checks against a draw, by default that of the list, and writes the list after each verdict.
fn run(draw_of: Option<(u64, u64)>, which: Which) -> io::Result<()> {
    let root = schema::root();
    let kept = List::load(&root).unwrap_or_default();
    let (seed, count) = draw_of.unwrap_or((kept.seed, kept.entries.len() as u64));
    let schema = Schema::of(&root)?;
    let drawn = draw(&schema.mutants, seed, count as usize);
    let folder = root.join("target/mutation");
    schema.write(&root, &folder.join("source"))?;
    println!("seed {seed}: {} of {} mutants", drawn.len(), schema.mutants.len());

    let old: BTreeMap<String, Verdict> =
        kept.entries.into_iter().map(|entry| (entry.id, entry.verdict)).collect();
    let reasons = std::fs::read_to_string(root.join(list::REASONS)).unwrap_or_default();
    let reasons = list::reasons(&reasons).map_err(io::Error::other)?;
    let equivalent =
        |at: usize| reasons.get(&schema.mutants[at].id).is_some_and(|reason| reason.equivalent);
    let verdicts: Vec<Option<Verdict>> = drawn
        .iter()
        .map(|at| (*at, old.get(&schema.mutants[*at].id).cloned()))
        .map(|(at, verdict)| match which {
            Which::All => None,
            Which::New => verdict,
            Which::Survivors => verdict.filter(|verdict| !verdict.survived() || equivalent(at)),
        })
        .collect();
    let open = drawn.iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_none());
    let open: Vec<usize> = open.map(|(at, _)| at + 1).collect();
    let checks = Checks::prepare(&root, &folder, JOBS)?;
    println!("{} mutants to run", open.len());

    let verdicts = Mutex::new(verdicts);
    checks.judge(&root, &open, JOBS, |number, verdict| {
        let at = number - 1;
        let entry = Entry::new(&schema.mutants[at], verdict.clone());
        println!("{} {} {}: {}: {}", entry.id, verdict, entry.place, entry.change, entry.original);
        let mut verdicts = verdicts.lock().expect("no thread panics");
        if let Some(position) = drawn.iter().position(|other| *other == at) {
            verdicts[position] = Some(verdict);
        }
        let known = drawn.iter().zip(&*verdicts).filter_map(|(at, verdict)| {
            let mutant = &schema.mutants[*at];
            // One that has not run again yet has its old verdict.
            let verdict = verdict.as_ref().or_else(|| old.get(&mutant.id))?;
            Some(Entry::new(mutant, verdict.clone()))
        });
        let list = List { seed, entries: known.collect() };
        std::fs::write(root.join(list::LIST), list.print()).expect("the list can be written");
    })
}

/// Writes the list with the places of the current sources.
fn places() -> io::Result<()> {
    let root = schema::root();
    let mut list = List::load(&root)?;
    let schema = Schema::of(&root)?;
    let by_id: BTreeMap<_, _> = schema.mutants.iter().map(|mutant| (&mutant.id, mutant)).collect();
    list.entries.retain_mut(|entry| match by_id.get(&entry.id) {
        Some(mutant) => {
            *entry = Entry::new(mutant, entry.verdict.clone());
            true
        }
        None => {
            println!("stale: {} {} {}", entry.id, entry.place, entry.change);
            false
        }
    });
    std::fs::write(root.join(list::LIST), list.print())
}

/// Writes the report into the documentation.
fn write_report() -> io::Result<()> {
    let root = schema::root();
    let text = std::fs::read_to_string(root.join(list::REASONS))?;
    let reasons = list::reasons(&text).map_err(io::Error::other)?;
    let report = report::report(&List::load(&root)?, &reasons);
    let path = root.join(report::DOCUMENT);
    let document = report::insert(&std::fs::read_to_string(&path)?, &report);
    let document = document.ok_or_else(|| io::Error::other("the document has no place for it"))?;
    std::fs::write(path, document)
}

fn all() -> io::Result<()> {
    let schema = Schema::of(&schema::root())?;
    for (number, mutant) in (1..).zip(&schema.mutants) {
        let entry = Entry::new(mutant, Verdict::NotReached);
        println!("{number}\t{}\t{}\t{}\t{}", entry.id, entry.place, entry.change, entry.original);
    }
    for (what, number) in schema.left_alone {
        println!("no mutants in {number} {what}");
    }
    Ok(())
}
