//! The plan of a campaign: a TOML file.

use std::ops::Range;
use std::path::PathBuf;

use ifq_model::revision::{Defect, Revision};
use ifq_sim::enumerate::Family;
use ifq_sim::enumerate::plan::{MAX_OPS, MAX_RINGS};
use ifq_sim::world::Profile;
use serde::Deserialize;
use toml::Spanned;

use crate::machine::MachineSpec;
use crate::toml_error::{TomlError, nearest};

/// Describes the file.
const DOCUMENT: &str = "docs/campaigns.md";

/// A plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Limits.
    pub limits: PlanLimits,
    /// The jobs, in the order in which their units run.
    pub jobs: Vec<Job>,
}

/// Limits of a campaign.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanLimits {
    /// No unit is started later than so many seconds after the start of `run` or `resume`.
    pub seconds: Option<u64>,
    /// Time of one search of the model, in seconds.
    pub search_seconds: Option<u64>,
    /// States of one search of the model.
    pub search_states: Option<u64>,
}

/// What one engine does.
#[derive(Clone, Debug)]
pub enum Job {
    /// Worlds of the simulator.
    Sim(SimJob),
    /// Searches of test files.
    Check(CheckJob),
    /// Searches of enumerated tests.
    Enumerate(EnumerateJob),
    /// Tests on kernels.
    Conform(Box<ConformJob>),
}

/// Worlds of the simulator.
#[derive(Clone, Debug)]
pub struct SimJob {
    /// Their profile.
    pub profile: Profile,
    /// Their revision; `None`: each seed draws one.
    pub revision: Option<Revision>,
    /// Planted defects.
    pub defects: Vec<Defect>,
    /// The first seed.
    pub seed: u64,
    /// Number of seeds.
    pub runs: u64,
    /// Seeds of one unit.
    pub per_unit: u64,
}

/// Searches of test files. One file is one unit.
#[derive(Clone, Debug)]
pub struct CheckJob {
    /// Files and folders; none: the built-in library.
    pub files: Vec<PathBuf>,
    /// Only this revision.
    pub revision: Option<Revision>,
    /// Added defects.
    pub defects: Vec<Defect>,
    /// Fixed defects.
    pub without: Vec<Defect>,
    /// All defects of the revision are fixed.
    pub fixed: bool,
}

/// Searches of enumerated tests.
#[derive(Clone, Debug)]
pub struct EnumerateJob {
    /// Largest number of rings.
    pub rings: u8,
    /// Largest number of racing operations.
    pub ops: u8,
    /// Revisions; none: all.
    pub revisions: Vec<Revision>,
    /// Families; none: all.
    pub families: Vec<Family>,
    /// Every fault point may fail.
    pub faults: bool,
    /// Tests of one unit.
    pub per_unit: u64,
}

/// Tests on kernels.
#[derive(Clone, Debug)]
pub struct ConformJob {
    /// The machine.
    pub on: MachineSpec,
    /// Files and folders, if none are drawn; none: the built-in library.
    pub files: Vec<PathBuf>,
    /// Number of drawn tests.
    pub generate: Option<u64>,
    /// Draw races, not sequences.
    pub races: bool,
    /// Seed of the drawn tests and of delays.
    pub seed: u64,
    /// Number of drawn tests that are left out.
    pub skip: u64,
    /// Repetitions of each test.
    pub times: Option<u32>,
    /// Defects that are added to the model.
    pub defects: Vec<Defect>,
    /// Processors of a guest.
    pub cpus: u32,
    /// Tests of one unit: the machine boots once for them.
    pub per_unit: u64,
}

type Number = Option<Spanned<u64>>;
type Words = Vec<Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    #[serde(default)]
    limits: PlanLimits,
    #[serde(default)]
    sim: Vec<WrittenSim>,
    #[serde(default)]
    check: Vec<WrittenCheck>,
    #[serde(default)]
    enumerate: Vec<WrittenEnumerate>,
    #[serde(default)]
    conform: Vec<WrittenConform>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSim {
    profile: Option<Spanned<String>>,
    #[serde(default)]
    revisions: Words,
    #[serde(default)]
    defects: Words,
    #[serde(default)]
    seed: u64,
    runs: Spanned<u64>,
    per_unit: Number,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCheck {
    #[serde(default)]
    files: Vec<PathBuf>,
    revision: Option<Spanned<String>>,
    #[serde(default)]
    defects: Words,
    #[serde(default)]
    without: Words,
    fixed: Option<Spanned<bool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEnumerate {
    rings: Number,
    ops: Spanned<u64>,
    #[serde(default)]
    revisions: Words,
    #[serde(default)]
    families: Words,
    #[serde(default)]
    faults: bool,
    per_unit: Number,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenConform {
    on: Words,
    files: Option<Spanned<Vec<PathBuf>>>,
    generate: Number,
    #[serde(default)]
    races: bool,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    skip: u64,
    times: Number,
    #[serde(default)]
    defects: Words,
    cpus: Number,
    per_unit: Number,
}

/// Seeds of one unit, unless the plan says otherwise.
const SEEDS: u64 = 16;
/// Enumerated tests of one unit.
const ENUMERATED: u64 = 64;
/// Live tests of one unit.
const LIVE: u64 = 100;

/// An error before it has a place.
type Complaint = (Range<usize>, String, String);

impl Plan {
    /// Reads the text of a plan; `path` is its name in errors.
    ///
    /// # Errors
    /// [`TomlError`], with the place.
    pub fn parse(path: &str, text: &str) -> Result<Self, TomlError> {
        let written: Written =
            toml::from_str(text).map_err(|error| TomlError::parse(path, text, &error, DOCUMENT))?;
        let stem = std::path::Path::new(path).file_stem().map(|stem| stem.to_string_lossy());
        let name = stem.map_or_else(|| "campaign".to_owned(), |stem| stem.into_owned());
        written
            .into_plan(name)
            .map_err(|(span, problem, help)| TomlError::new(path, text, span, problem, help))
    }
}

impl Written {
    fn into_plan(self, name: String) -> Result<Plan, Complaint> {
        let mut jobs = Vec::new();
        for sim in self.sim {
            sim.add_to(&mut jobs)?;
        }
        for check in self.check {
            jobs.push(check.job()?);
        }
        for enumerate in self.enumerate {
            jobs.push(enumerate.job()?);
        }
        for conform in self.conform {
            conform.add_to(&mut jobs)?;
        }
        if jobs.is_empty() {
            let help = "expected [[sim]], [[check]], [[enumerate]] or [[conform]]";
            return Err((0..0, "the plan has no job".to_owned(), help.to_owned()));
        }
        Ok(Plan { name: self.name.unwrap_or(name), limits: self.limits, jobs })
    }
}

impl WrittenSim {
    /// One job for each revision.
    fn add_to(self, jobs: &mut Vec<Job>) -> Result<(), Complaint> {
        let profiles = Profile::ALL.map(|profile| (profile.name(), profile));
        let profile = one(self.profile.as_ref(), "profile", &profiles)?.unwrap_or_default();
        let mut revisions: Vec<Option<Revision>> =
            self.revisions.iter().map(revision).collect::<Result<Vec<_>, _>>()?;
        let defects = defects(&self.defects)?;
        if revisions.is_empty() {
            revisions.push(None);
        }
        for (at, revision) in revisions.into_iter().enumerate() {
            let kernels = ifq_sim::world::Kernels { revision, defects: defects.clone() };
            if kernels.revisions().is_empty() {
                let word = self.revisions.get(at).or(self.defects.first());
                let span = word.map_or(0..0, Spanned::span);
                let problem = "no such revision has code that all these defects could be in";
                let help = "`ifq defects` prints the revisions of each defect";
                return Err((span, problem.to_owned(), help.to_owned()));
            }
            jobs.push(Job::Sim(SimJob {
                profile,
                revision,
                defects: defects.clone(),
                seed: self.seed,
                runs: at_least_one(&self.runs)?,
                per_unit: per_unit(self.per_unit.as_ref(), SEEDS)?,
            }));
        }
        Ok(())
    }
}

impl WrittenCheck {
    fn job(self) -> Result<Job, Complaint> {
        if let Some(fixed) = &self.fixed
            && *fixed.get_ref()
            && !self.without.is_empty()
        {
            let problem = "`fixed` fixes all defects, so `without` adds nothing";
            let help = "expected one of `fixed` and `without`";
            return Err((fixed.span(), problem.to_owned(), help.to_owned()));
        }
        Ok(Job::Check(CheckJob {
            files: self.files,
            revision: self.revision.as_ref().map(revision).transpose()?.flatten(),
            defects: defects(&self.defects)?,
            without: defects(&self.without)?,
            fixed: self.fixed.is_some_and(Spanned::into_inner),
        }))
    }
}

impl WrittenEnumerate {
    fn job(self) -> Result<Job, Complaint> {
        let families: Vec<(String, Family)> = Family::all().map(|one| (one.name(), one)).collect();
        let named: Vec<(&str, Family)> =
            families.iter().map(|(name, one)| (name.as_str(), *one)).collect();
        let family = |word: &Spanned<String>| one(Some(word), "family", &named);
        let chosen: Result<Vec<Option<Family>>, _> = self.families.iter().map(family).collect();
        let revisions: Result<Vec<_>, _> = self.revisions.iter().map(revision).collect();
        let rings = self.rings.as_ref();
        Ok(Job::Enumerate(EnumerateJob {
            rings: rings.map_or(Ok(2), |rings| in_range(rings, 1, MAX_RINGS))?,
            ops: in_range(&self.ops, 0, MAX_OPS)?,
            revisions: revisions?.into_iter().flatten().collect(),
            families: chosen?.into_iter().flatten().collect(),
            faults: self.faults,
            per_unit: per_unit(self.per_unit.as_ref(), ENUMERATED)?,
        }))
    }
}

impl WrittenConform {
    /// One job for each machine.
    fn add_to(self, jobs: &mut Vec<Job>) -> Result<(), Complaint> {
        if let (Some(files), Some(_)) = (&self.files, &self.generate) {
            let problem = "`generate` draws tests, so no files can be named";
            let help = "expected one of `files` and `generate`";
            return Err((files.span(), problem.to_owned(), help.to_owned()));
        }
        for word in &self.on {
            let on = MachineSpec::argument(word.get_ref()).map_err(|error| {
                (word.span(), error.to_string(), "`ifq rig list` prints the machines".to_owned())
            })?;
            let times =
                self.times.as_ref().map(|times| in_range(times, 1, u32::MAX)).transpose()?;
            jobs.push(Job::Conform(Box::new(ConformJob {
                on,
                files: self.files.as_ref().map_or_else(Vec::new, |files| files.get_ref().clone()),
                generate: self.generate.as_ref().map(at_least_one).transpose()?,
                races: self.races,
                seed: self.seed,
                skip: self.skip,
                times,
                defects: defects(&self.defects)?,
                cpus: self.cpus.as_ref().map_or(Ok(1), |cpus| in_range(cpus, 1, 64_u32))?,
                per_unit: per_unit(self.per_unit.as_ref(), LIVE)?,
            })));
        }
        Ok(())
    }
}

fn revision(word: &Spanned<String>) -> Result<Option<Revision>, Complaint> {
    one(Some(word), "revision", &Revision::ALL.map(|revision| (revision.name(), revision)))
}

fn defects(words: &[Spanned<String>]) -> Result<Vec<Defect>, Complaint> {
    let all: Vec<(&str, Defect)> = Defect::ALL.iter().map(|one| (one.name(), *one)).collect();
    let found: Result<Vec<_>, _> =
        words.iter().map(|word| one(Some(word), "defect", &all)).collect();
    Ok(found?.into_iter().flatten().collect())
}

/// The value with a name.
fn one<T: Copy>(
    word: Option<&Spanned<String>>,
    what: &str,
    all: &[(&str, T)],
) -> Result<Option<T>, Complaint> {
    let Some(word) = word else { return Ok(None) };
    let text = word.get_ref();
    if let Some((_, value)) = all.iter().find(|(name, _)| name == text) {
        return Ok(Some(*value));
    }
    let near = nearest(text, all.iter().map(|(name, _)| *name));
    let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
    let names: Vec<String> = all.iter().map(|(name, _)| format!("`{name}`")).collect();
    let help = match names.len() {
        ..=40 => format!("expected one of {}", names.join(", ")),
        _ => format!("`ifq {what}s` prints all"),
    };
    Err((word.span(), format!("there is no {what} `{text}`{near}"), help))
}

fn at_least_one(number: &Spanned<u64>) -> Result<u64, Complaint> {
    in_range(number, 1, u64::MAX)
}

fn per_unit(number: Option<&Spanned<u64>>, usual: u64) -> Result<u64, Complaint> {
    number.map_or(Ok(usual), at_least_one)
}

fn in_range<T>(number: &Spanned<u64>, least: T, most: T) -> Result<T, Complaint>
where
    T: TryFrom<u64> + PartialOrd + std::fmt::Display + Copy,
{
    let value = T::try_from(*number.get_ref()).ok();
    value.filter(|value| (least..=most).contains(value)).ok_or_else(|| {
        let problem = format!("{} is out of range", number.get_ref());
        (number.span(), problem, format!("expected {least} to {most}"))
    })
}
