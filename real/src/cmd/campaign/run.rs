//! Runs the units of a campaign that have not run, then minimises failures.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::campaign::cause::to_minimise;
use crate::campaign::engine::{self, Engine, Unit, run_unit};
use crate::campaign::record::{End, Header, Record, SmallRecord};
use crate::campaign::store::{Store, StoreError};
use crate::machine::interrupted;

/// A campaign that runs.
pub(super) struct Campaign<'a> {
    pub(super) engines: Vec<Box<dyn Engine + 'a>>,
    pub(super) units: Vec<Unit>,
    pub(super) header: Header,
    pub(super) jobs: usize,
    /// No unit is started after this time.
    pub(super) deadline: Option<Instant>,
}

impl Campaign<'_> {
    /// Runs what is missing, adds it to the store and to the records; returns the number of units that were run.
    ///
    /// # Errors
    /// A record cannot be stored.
    pub(super) fn run(&self, store: &Store, records: &mut Vec<Record>) -> Result<u64, StoreError> {
        let done: HashSet<u64> = records.iter().filter_map(unit_of).collect();
        let open = (0..self.units.len() as u64)
            .filter(|unit| self.header.has(*unit) && !done.contains(unit));
        let open: Vec<u64> = open.collect();
        let failed = AtomicUsize::new(0);
        let in_time = || self.deadline.is_none_or(|at| Instant::now() < at);
        let run = |number: &u64| {
            let unit = &self.units[usize::try_from(*number).ok()?];
            let record = run_unit(&*self.engines[unit.job], *number, unit)?;
            let failures = record.others.iter().filter(|one| matches!(one.end, End::Failed(_)));
            failed.fetch_add(failures.count(), Ordering::Relaxed);
            Some(Record::Unit(record))
        };
        let says = || format!("{} failed", failed.load(Ordering::Relaxed));
        let new = self.pool(store, &open, "units", &in_time, &run, &says)?;
        let ran = new.len() as u64;
        records.extend(new);
        self.minimise(store, records)?;
        Ok(ran)
    }

    /// Minimises the first failures of each cause.
    fn minimise(&self, store: &Store, records: &mut Vec<Record>) -> Result<(), StoreError> {
        let open = to_minimise(records);
        let run = |(number, case, shown): &(u64, u64, crate::campaign::record::Shown)| {
            let unit = &self.units[usize::try_from(*number).ok()?];
            let test = engine::small(&*self.engines[unit.job], *case, shown)?;
            let cause = shown.cause.clone();
            Some(Record::Small(SmallRecord { cause, unit: *number, case: *case, test }))
        };
        let says = String::new;
        records.extend(self.pool(store, &open, "failures minimised", &|| true, &run, &says)?);
        Ok(())
    }

    /// Works on all items with several threads, and stores each result at once.
    fn pool<T: Sync>(
        &self,
        store: &Store,
        items: &[T],
        what: &str,
        in_time: &(dyn Fn() -> bool + Sync),
        run: &(dyn Fn(&T) -> Option<Record> + Sync),
        says: &(dyn Fn() -> String + Sync),
    ) -> Result<Vec<Record>, StoreError> {
        // The first question installs the handler of the interrupt.
        let _ = interrupted();
        let bar = bar(items.len() as u64, what);
        let next = AtomicUsize::new(0);
        let (new, error) = (Mutex::new(Vec::new()), Mutex::new(None));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.min(items.len()) {
                scope.spawn(|| {
                    while !interrupted() && in_time() {
                        let item = items.get(next.fetch_add(1, Ordering::Relaxed));
                        let Some(record) = item.and_then(run) else { break };
                        if let Err(found) = store.add(&record) {
                            *error.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
                            // The others end as well.
                            next.store(items.len(), Ordering::Relaxed);
                            break;
                        }
                        new.lock().unwrap_or_else(PoisonError::into_inner).push(record);
                        bar.inc(1);
                        bar.set_message(says());
                    }
                });
            }
        });
        bar.finish_and_clear();
        match error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(new.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

fn unit_of(record: &Record) -> Option<u64> {
    match record {
        Record::Unit(unit) => Some(unit.unit),
        Record::Header(_) | Record::Small(_) => None,
    }
}

/// A progress bar with rate and time left. It is hidden unless standard error is a terminal.
fn bar(count: u64, what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(count);
    let template =
        format!("{{elapsed}} {{pos}}/{{len}} {what}, {{per_sec}}, {{eta}} left  {{msg}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_secs(2));
    bar
}
