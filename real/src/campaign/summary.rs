//! What all records of a campaign say together.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cause::{Failure, MINIMISED, by_cause};
use super::record::{End, Header, Record, Small, SmallRecord, UnitName, UnitRecord};

/// At most so many cases are listed for a cause.
const LISTED: usize = 10;

/// A campaign, as it is reported. It depends on the plan and on which units have run.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The plan's name.
    pub name: String,
    /// This part of the units, if the campaign is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// All units.
    pub total: Counts,
    /// The units of each job.
    pub jobs: Vec<JobSummary>,
    /// The causes of failures.
    pub causes: Vec<CauseSummary>,
    /// Cases that were not run, are bounded or panicked, by reason.
    pub reasons: Vec<ReasonSummary>,
}

/// What became of units and cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Units.
    pub units: u64,
    /// Units that have run.
    pub done: u64,
    /// Cases that passed.
    pub passed: u64,
    /// Cases that failed.
    pub failed: u64,
    /// Cases that a limit ended.
    pub bounded: u64,
    /// Cases that were not run.
    pub not_run: u64,
    /// Cases in which the program panicked.
    pub panicked: u64,
    /// States of searches and steps of runs.
    pub work: u64,
}

/// A job.
#[derive(Clone, Debug, Serialize)]
pub struct JobSummary {
    /// Its name.
    pub name: String,
    /// Its units.
    #[serde(flatten)]
    pub counts: Counts,
}

/// A cause of failures.
#[derive(Clone, Debug, Serialize)]
pub struct CauseSummary {
    /// The cause.
    pub cause: String,
    /// Number of cases that showed it.
    pub cases: u64,
    /// The kernels that it showed on.
    pub kernels: Vec<String>,
    /// The first cases, with the command that shows it again.
    pub first: Vec<CaseSummary>,
    /// The smallest test, in the folder `failures`.
    pub file: Option<String>,
    /// Its operations.
    pub operations: Option<u64>,
    /// How it was minimised.
    pub note: Option<String>,
    /// The text of the file.
    #[serde(skip)]
    pub text: Option<String>,
}

/// A case that showed a cause.
#[derive(Clone, Debug, Serialize)]
pub struct CaseSummary {
    /// The case.
    pub case: String,
    /// What happened.
    pub what: String,
    /// The command that shows it again.
    pub again: String,
}

/// Why cases have no result.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ReasonSummary {
    /// `not run`, `bounded` or `panicked`.
    pub end: &'static str,
    /// The reason.
    pub reason: String,
    /// Number of cases.
    pub cases: u64,
    /// The first of them.
    pub first: String,
}

/// The units of a campaign with their records.
#[derive(Debug)]
pub struct Results<'r> {
    /// The header.
    pub header: &'r Header,
    /// The units, and the record of each that has run. Only those of the shard.
    pub units: Vec<(&'r UnitName, Option<&'r UnitRecord>)>,
    small: Vec<&'r SmallRecord>,
}

impl<'r> Results<'r> {
    /// Sorts records by unit.
    #[must_use]
    pub fn new(header: &'r Header, records: &'r [Record]) -> Self {
        let mut done: BTreeMap<u64, &UnitRecord> = BTreeMap::new();
        let mut small = Vec::new();
        for record in records {
            match record {
                Record::Header(_) => {}
                Record::Unit(unit) => _ = done.insert(unit.unit, unit),
                Record::Small(record) => small.push(record),
            }
        }
        let own = (0..).zip(&header.units).filter(|(number, _)| header.has(*number));
        let units = own.map(|(number, unit)| (unit, done.get(&number).copied())).collect();
        Results { header, units, small }
    }

    /// The summary.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut total = Counts::default();
        let job = |name: &String| JobSummary { name: name.clone(), counts: Counts::default() };
        let mut jobs: Vec<JobSummary> = self.header.jobs.iter().map(job).collect();
        let mut reasons: BTreeMap<(&'static str, String), (u64, String)> = BTreeMap::new();
        for (unit, record) in &self.units {
            let counts = Counts::of(*record);
            total.add(&counts);
            if let Some(job) = jobs.get_mut(unit.job) {
                job.counts.add(&counts);
            }
            for other in record.iter().flat_map(|record| &record.others) {
                let (end, reason) = match &other.end {
                    End::Passed | End::Failed(_) => continue,
                    End::Bounded(reason) => ("bounded", reason),
                    End::NotRun(reason) => ("not run", reason),
                    End::Panicked(reason) => ("panicked", reason),
                };
                let new = || (0, other.name.clone());
                reasons.entry((end, reason.clone())).or_insert_with(new).0 += 1;
            }
        }
        let reason = |((end, reason), (cases, first))| ReasonSummary { end, reason, cases, first };
        let causes = by_cause(self.units.iter().filter_map(|(_, record)| *record));
        let shard = self.header.shard.map(|(shard, shards)| format!("{shard}/{shards}"));
        Summary {
            name: self.header.name.clone(),
            shard,
            total,
            jobs,
            causes: causes.into_iter().map(|(cause, all)| self.cause(cause, &all)).collect(),
            reasons: reasons.into_iter().map(reason).collect(),
        }
    }

    fn cause(&self, cause: &str, failures: &[Failure<'_>]) -> CauseSummary {
        let mut kernels: Vec<String> = Vec::new();
        for failure in failures {
            if !kernels.contains(&failure.shown.kernel) {
                kernels.push(failure.shown.kernel.clone());
            }
        }
        kernels.sort();
        let first = failures.iter().take(LISTED).map(|failure| CaseSummary {
            case: failure.name.to_owned(),
            what: failure.shown.what.clone(),
            again: failure.shown.again.clone(),
        });
        let first = first.collect();
        let smallest = self.smallest(cause, failures);
        let text = smallest.and_then(|small| {
            let shown = failures.len();
            let text = small.file.as_ref()?;
            let cases = if shown == 1 { "case" } else { "cases" };
            Some(format!(
                "# {cause}\n# Shown by {shown} {cases}, first by: {}\n{text}",
                failures[0].name
            ))
        });
        CauseSummary {
            cause: cause.to_owned(),
            cases: failures.len() as u64,
            kernels,
            first,
            file: text.is_some().then(|| file_name(cause)),
            operations: smallest.filter(|small| small.file.is_some()).map(|small| small.operations),
            note: smallest.map(|small| small.note.clone()).filter(|note| !note.is_empty()),
            text,
        }
    }

    /// The smallest test among the first failures of a cause.
    fn smallest(&self, cause: &str, failures: &[Failure<'_>]) -> Option<&'r Small> {
        let first: Vec<(u64, u64)> =
            failures.iter().take(MINIMISED).map(|one| (one.unit, one.case)).collect();
        let of = |small: &&&SmallRecord| {
            small.cause == cause && first.contains(&(small.unit, small.case))
        };
        let tests = self.small.iter().filter(of).map(|small| &small.test);
        tests.min_by_key(|small| (small.file.is_none(), small.operations, &small.file))
    }
}

/// The name of the file of a cause: its words, and a checksum because they may be cut.
fn file_name(cause: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { ' ' };
    let words: String = cause.chars().map(plain).collect();
    let words: Vec<&str> = words.split_whitespace().take(8).collect();
    let mut words = words.join("-");
    words.truncate(80);
    format!("{words}-{:08x}.ifq", crc32fast::hash(cause.as_bytes()))
}

impl Counts {
    fn of(record: Option<&UnitRecord>) -> Self {
        let mut counts = Counts { units: 1, ..Counts::default() };
        let Some(record) = record else { return counts };
        (counts.done, counts.passed, counts.work) = (1, record.passed, record.work);
        for other in &record.others {
            match other.end {
                End::Passed => counts.passed += 1,
                End::Failed(_) => counts.failed += 1,
                End::Bounded(_) => counts.bounded += 1,
                End::NotRun(_) => counts.not_run += 1,
                End::Panicked(_) => counts.panicked += 1,
            }
        }
        counts
    }

    fn add(&mut self, other: &Counts) {
        self.units += other.units;
        self.done += other.done;
        self.passed += other.passed;
        self.failed += other.failed;
        self.bounded += other.bounded;
        self.not_run += other.not_run;
        self.panicked += other.panicked;
        self.work += other.work;
    }

    /// The numbers with their names, in order.
    #[must_use]
    pub fn cells(&self) -> [(&'static str, u64); 8] {
        [
            ("units", self.units),
            ("done", self.done),
            ("passed", self.passed),
            ("failed", self.failed),
            ("bounded", self.bounded),
            ("not run", self.not_run),
            ("panicked", self.panicked),
            ("states or steps", self.work),
        ]
    }
}
