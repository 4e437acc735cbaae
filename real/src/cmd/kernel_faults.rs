//! `ifq kernel faults`: makes each call of a test fail at each place at which the kernel can inject a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use ifq_model::errno::{ENFILE, ENOMEM};
use ifq_model::fault::FaultPoint;
use ifq_model::outcome::{Outcome, Value};
use ifq_model::test::Test;
use ifq_sim::format::Input;
use serde_json::json;

use super::exit::{EXIT_DIFFERENCE, EXIT_NOT_RUN, EXIT_OK, exit_code};
use super::selection::read_or;
use crate::conform::compare::Allowed;
use crate::conform::oracle::{Explorer, Oracle};
use crate::conform::progress::Progress;
use crate::job::{FailedCall, Job, JobLine, Reply, Report};
use crate::kernels::fault_site::{fault_point, functions, place};
use crate::kernels::supported::unsupported;
use crate::machine::{Failure, MachineSpec, inlined};

/// Time limit of the search for the outcomes that the model allows of one test with one fault point.
const SEARCH: Duration = Duration::from_secs(20);
/// A place with more functions is cut.
const SHOWN_FUNCTIONS: usize = 4;

/// The arguments of `ifq kernel faults`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Tests, or folders of tests [default: the library]
    pub files: Vec<PathBuf>,
    /// A kernel that was built --with fault-injection
    #[arg(long, value_parser = MachineSpec::argument)]
    pub on: MachineSpec,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Runs the sweep; returns the exit code.
#[must_use]
pub fn faults(args: &Args, library: &[Input]) -> u8 {
    let inputs = match read_or(&args.files, library) {
        Ok(inputs) => inputs,
        Err(code) => return code,
    };
    // A race has outcomes that no failure leads to.
    let tests = inputs.tests.iter().filter(|input| input.test.threads.len() < 2);
    let tests: Vec<Test> = tests
        .map(|input| Test {
            schedule: None,
            faults: Vec::new(),
            max_faults: 0,
            ..input.test.clone()
        })
        .collect();
    match sweep(&args.on, &tests) {
        Ok((able, reply)) => {
            let races = inputs.tests.len() - tests.len();
            let inlined = match inlined_calls(&args.on, &reply) {
                Ok(inlined) => inlined,
                Err(failure) => return exit_code(Err(failure), args.json),
            };
            let summary = Summary { races, ..Summary::of(&able, &reply, &inlined) };
            if args.json {
                outln!("{}", summary.json());
            } else {
                summary.print(&able);
            }
            summary.exit_code()
        }
        Err(failure) => exit_code(Err(failure), args.json),
    }
}

/// Runs the tests that the machine can run.
fn sweep(on: &MachineSpec, tests: &[Test]) -> Result<(Vec<Test>, Reply), Failure> {
    let machine = on.machine_with(1)?;
    let equipment = machine.equipment();
    let able: Vec<Test> =
        tests.iter().filter(|test| unsupported(test, equipment).is_none()).cloned().collect();
    let progress = Progress::new();
    let job = Job { sweep: true, crashes: machine.may_crash(), ..Job::new(able.clone()) };
    let result = machine.run(&job, &mut |line| {
        if let JobLine::Test { test, .. } = line {
            progress.machine(format!("{on}: {} of {} tests", test + 1, able.len()));
        }
    });
    progress.clear();
    result.map(|reply| (able, reply))
}

/// What the compiler has inlined at the places of all stacks, as far as the kernel has DWARF.
fn inlined_calls(on: &MachineSpec, reply: &Reply) -> Result<Inlined, Failure> {
    let MachineSpec::Built { name, .. } = on else { return Ok(Inlined::new()) };
    let failures = reply.reports.iter().flat_map(|report| match report {
        Report::Completed { failures, .. } => &**failures,
        _ => &[],
    });
    let places: BTreeSet<String> = failures.flat_map(|call| call.stack.iter().cloned()).collect();
    inlined(name, &places)
}

/// The functions at a place of a stack.
type Inlined = BTreeMap<String, Vec<String>>;

/// The failures at one place.
#[derive(Default)]
struct Place {
    point: Option<FaultPoint>,
    failures: usize,
    /// What the model does not allow: test and outcome.
    outside: Vec<(usize, Outcome)>,
    /// Failures whose outcome could not be compared, because the search did not end.
    unknown: usize,
    /// Some outcome, for a place that the model does not have.
    example: Option<(usize, Outcome)>,
}

struct Summary {
    kernel: String,
    places: BTreeMap<String, Place>,
    /// What the model does not allow without a failure: test and outcome.
    outside: Vec<(usize, Outcome)>,
    problems: Vec<(usize, String)>,
    not_run: BTreeMap<String, usize>,
    swept: usize,
    /// Tests that are left out because they have several threads.
    races: usize,
}

impl Summary {
    fn of(tests: &[Test], reply: &Reply, inlined: &Inlined) -> Self {
        let (mut places, mut problems) = (BTreeMap::<String, Place>::new(), Vec::new());
        let mut outside = Vec::new();
        let (mut not_run, mut swept) = (BTreeMap::new(), 0);
        for (at, (test, report)) in tests.iter().zip(&reply.reports).enumerate() {
            match report {
                Report::Completed { histogram, problems: found, failures, .. } => {
                    swept += 1;
                    problems.extend(found.iter().map(|problem| (at, problem.clone())));
                    let mut oracle =
                        FaultOracle { test, kernel: &reply.probe.kernel, known: BTreeMap::new() };
                    let unfailed = histogram.iter().map(|(outcome, _)| outcome);
                    let unfailed = unfailed.filter(|it| oracle.allows(None, it) == Some(false));
                    outside.extend(unfailed.map(|outcome| (at, outcome.clone())));
                    for call in failures {
                        add(&mut places, at, call, inlined, &mut oracle);
                    }
                }
                Report::NotRun { reason } => *not_run.entry(reason.clone()).or_default() += 1,
                Report::Broken { reason } => problems.push((at, reason.clone())),
            }
        }
        let kernel = reply.probe.kernel.clone();
        Summary { kernel, places, outside, problems, not_run, swept, races: 0 }
    }

    fn is_bad(&self) -> bool {
        !self.problems.is_empty()
            || !self.outside.is_empty()
            || self.places.values().any(|place| !place.outside.is_empty())
    }

    fn exit_code(&self) -> u8 {
        match () {
            () if self.is_bad() => EXIT_DIFFERENCE,
            () if self.swept == 0 => EXIT_NOT_RUN,
            () => EXIT_OK,
        }
    }

    fn failures(&self) -> usize {
        self.places.values().map(|place| place.failures).sum()
    }

    fn print(&self, tests: &[Test]) {
        outln!(
            "{} failures at {} places in {} tests on kernel {}",
            self.failures(),
            self.places.len(),
            self.swept,
            self.kernel
        );
        outln!("\nfault points of the model, with the number of failures");
        for point in FaultPoint::ALL.iter().copied() {
            let own = self.places.values().filter(|place| place.point == Some(point));
            let (all, outside, unknown) = own.fold((0, 0, 0), |(all, outside, unknown), place| {
                (all + place.failures, outside + place.outside.len(), unknown + place.unknown)
            });
            let verdict = match (all, outside, unknown) {
                (0, ..) => "not injected".to_owned(),
                (_, 0, 0) => format!("{all}, each outcome is allowed"),
                (_, 0, _) => {
                    format!("{all}, {unknown} not compared, because the search did not end")
                }
                _ => format!("{all}, {outside} with an outcome that the model does not allow"),
            };
            outln!("  {:<18} {verdict}", point.name());
        }
        outln!("\nplaces that the model does not have");
        for (name, place) in self.places.iter().filter(|(_, place)| place.point.is_none()) {
            outln!("  {:4}  {name}", place.failures);
            if let Some((test, outcome)) = &place.example {
                outln!("        {}: {}", tests[*test].name, outcome.display(&tests[*test]));
            }
        }
        for (name, place) in &self.places {
            for (test, outcome) in &place.outside {
                let test = &tests[*test];
                outln!(
                    "\nnot allowed: {} after a failure in {name}: {}",
                    test.name,
                    outcome.display(test)
                );
            }
        }
        for (test, outcome) in &self.outside {
            let test = &tests[*test];
            outln!("\nnot allowed: {} without a failure: {}", test.name, outcome.display(test));
        }
        for (test, problem) in &self.problems {
            outln!("\nproblem in {}: {problem}", tests[*test].name);
        }
        if self.races > 0 {
            outln!("\nleft out: {} tests with several threads", self.races);
        }
        for (reason, count) in &self.not_run {
            outln!("\nnot run: {count} × {reason}");
        }
    }

    fn json(&self) -> serde_json::Value {
        let places = self.places.iter().map(|(name, place)| {
            json!({ "place": name, "point": place.point.map(FaultPoint::name), "failures": place.failures,
                "outside": place.outside.len() })
        });
        let problems: Vec<&String> = self.problems.iter().map(|(_, problem)| problem).collect();
        json!({ "kernel": self.kernel, "tests": self.swept, "failures": self.failures(),
            "places": places.collect::<Vec<_>>(), "outside_without_failure": self.outside.len(), "problems": problems,
            "races_left_out": self.races, "not_run": self.not_run })
    }
}

fn add(
    places: &mut BTreeMap<String, Place>,
    at: usize,
    call: &FailedCall,
    inlined: &Inlined,
    oracle: &mut FaultOracle<'_>,
) {
    let functions = functions(&call.stack, inlined);
    let mut shown = place(&functions);
    shown.truncate(SHOWN_FUNCTIONS);
    let twice = if call.twice { ", and the next allocation" } else { "" };
    // The kernel reports no failure of an allocation with __GFP_NOWARN.
    let (point, name) = if functions.is_empty() {
        (oracle.shown_by(&call.outcome), format!("no stack in the log{twice}"))
    } else {
        (fault_point(&functions), format!("{}: {}{twice}", call.kind, shown.join(" < ")))
    };
    let name = match point {
        Some(point) if functions.is_empty() => {
            format!("{name}, known by the outcome of {}", point.name())
        }
        _ => name,
    };
    let place = places.entry(name).or_default();
    place.failures += 1;
    place.point = point;
    match place.point {
        Some(point) => match oracle.allows(Some(point), &as_modelled(point, call, oracle.test)) {
            Some(true) => {}
            Some(false) => place.outside.push((at, call.outcome.clone())),
            None => place.unknown += 1,
        },
        None => place.example = place.example.take().or_else(|| Some((at, call.outcome.clone()))),
    }
}

/// The outcome of a failed call with the errno that the model has for its fault point.
///
/// A file cannot be opened for lack of memory (-ENOMEM) or because there are too many (-ENFILE); `zcrx_export` hands
/// either on. The model has the second only.
fn as_modelled(point: FaultPoint, call: &FailedCall, test: &Test) -> Outcome {
    let mut outcome = call.outcome.clone();
    let bound = test.steps().nth(call.step).and_then(|step| step.bind);
    let at = test.observe.iter().position(|var| Some(*var) == bound);
    if let (FaultPoint::AnonInode, Some(at)) = (point, at)
        && outcome.0[at] == Value::Number(-ENOMEM)
    {
        outcome.0[at] = Value::Number(-ENFILE);
    }
    outcome
}

/// The outcomes of a test with a failure at one fault point, or with none.
struct FaultOracle<'a> {
    test: &'a Test,
    kernel: &'a str,
    known: BTreeMap<Option<FaultPoint>, Option<Allowed>>,
}

impl FaultOracle<'_> {
    /// The one fault point of the model that leads to an outcome which no run without a failure has.
    fn shown_by(&mut self, outcome: &Outcome) -> Option<FaultPoint> {
        if self.allows(None, outcome) != Some(false) {
            return None;
        }
        let mut points = FaultPoint::ALL.iter().copied();
        let found: Vec<FaultPoint> = points
            .by_ref()
            .filter(|point| self.allows(Some(*point), outcome) == Some(true))
            .collect();
        match *found {
            [point] => Some(point),
            _ => None,
        }
    }

    /// Whether the model allows an outcome. `None`: the search did not end and has not found it.
    fn allows(&mut self, point: Option<FaultPoint>, outcome: &Outcome) -> Option<bool> {
        let (test, kernel) = (self.test, self.kernel);
        let allowed = self.known.entry(point).or_insert_with(|| {
            let faults: Vec<FaultPoint> = point.into_iter().collect();
            let test = Test { max_faults: u32::from(point.is_some()), faults, ..test.clone() };
            let explorer = Explorer::new(SEARCH);
            let variant = explorer.variant(&test, kernel).ok()?;
            explorer.allowed(&test, &variant).ok()
        });
        let allowed = allowed.as_ref()?;
        let found = allowed.set.contains(outcome);
        (found || allowed.exhaustive).then_some(found)
    }
}
