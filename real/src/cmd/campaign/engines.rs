//! The engines of a plan.

use ifq_sim::format::Input;
use ifq_sim::format::input::read;

use super::check::CheckEngine;
use super::conform::ConformEngine;
use super::enumerate::EnumerateEngine;
use super::sim::SimEngine;
use crate::campaign::engine::Engine;
use crate::campaign::plan::{Job, Plan};

/// The test files of each job; jobs without files have none.
///
/// # Errors
/// A message for each file that cannot be read.
pub(super) fn inputs(plan: &Plan, library: &[Input]) -> Result<Vec<Vec<Input>>, Vec<String>> {
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for job in &plan.jobs {
        let files = match job {
            Job::Check(job) => Some(&job.files),
            Job::Conform(job) if job.generate.is_none() => Some(&job.files),
            Job::Sim(_) | Job::Enumerate(_) | Job::Conform(_) => None,
        };
        all.push(match files {
            None => Vec::new(),
            Some(files) if files.is_empty() => library.to_vec(),
            Some(files) => {
                let (tests, wrong) = read(files);
                errors.extend(wrong);
                tests
            }
        });
    }
    if errors.is_empty() { Ok(all) } else { Err(errors) }
}

/// The engine of each job.
///
/// # Errors
/// A message: recorded outcomes cannot be read.
pub(super) fn engines<'a>(
    plan: &Plan,
    inputs: &'a [Vec<Input>],
) -> Result<Vec<Box<dyn Engine + 'a>>, String> {
    let engine = |(job, inputs): (&Job, &'a Vec<Input>)| -> Result<Box<dyn Engine + 'a>, String> {
        Ok(match job {
            Job::Sim(job) => Box::new(SimEngine::new(job)),
            Job::Check(job) => Box::new(CheckEngine::new(job, inputs, plan.limits)?),
            Job::Enumerate(job) => Box::new(EnumerateEngine::new(job, plan.limits)),
            Job::Conform(job) => Box::new(ConformEngine::new(job, inputs, plan.limits)),
        })
    };
    plan.jobs.iter().zip(inputs).map(engine).collect()
}
