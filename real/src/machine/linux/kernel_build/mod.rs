//! Builds kernels from source, and keeps them in the user's cache under a name.
//!
//! A kernel is known by a hash of everything that it is made of. What is built lies in `built-HASH`; the
//! name is a link to it. The folder of an unfinished build stays, and the next build with the same hash goes on
//! there: `make` compiles only what is missing.

mod built;
mod compile;
mod coverage;
mod inlined;
mod progress;
mod tree;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

pub(super) use built::find;
pub use built::{BuiltKernel, built};
pub use coverage::{clear_coverage, coverage};
pub use inlined::inlined;
pub use progress::BuildProgress;

use super::cache::Cache;
use super::fnv::Fnv;
use super::{build_root, process, softnic};
use crate::kernel_build::{Request, Symbol, differences, fragments};
use crate::machine::Failure;

/// What ccache keeps, in the cache.
const CCACHE: &str = "ccache";

/// What a build would do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The name of the kernel.
    pub name: String,
    /// What the source is: package and sum, folder and commit, or repository and branch.
    pub source: String,
    /// The names and sizes in bytes of the patches.
    pub patches: Vec<(PathBuf, u64)>,
    /// The lines of its configuration.
    pub symbols: Vec<Symbol>,
    /// The hash of everything that it is made of.
    pub hash: u64,
    /// Whether a kernel of this hash is in the cache.
    pub built: bool,
}

/// Says what [`build`] would do, without doing it. The source of Debian may be looked up in the archive's index.
///
/// # Errors
///
/// [`Failure`]: the request has a conflict, or something of it is not there.
pub fn plan(request: &Request) -> Result<Plan, Failure> {
    process::interrupted();
    let cache = Cache::of_user().map_err(Failure::NotRun)?;
    plan_in(&cache, request).map(|(plan, _)| plan).map_err(failure)
}

/// Builds a kernel, or finds it in the cache, and gives it its name.
///
/// # Errors
///
/// [`Failure`].
pub fn build(
    request: &Request,
    progress: &mut dyn FnMut(&BuildProgress),
) -> Result<BuiltKernel, Failure> {
    process::interrupted();
    let cache = Cache::of_user().map_err(Failure::NotRun)?;
    build_in(&cache, request, progress).map_err(failure)
}

fn failure(reason: String) -> Failure {
    if process::interrupted() { Failure::Interrupted } else { Failure::NotRun(reason) }
}

fn plan_in(cache: &Cache, request: &Request) -> Result<(Plan, tree::Found), String> {
    if let Some(conflict) = request.conflict() {
        return Err(conflict);
    }
    let source = tree::find(cache, &request.source)?;
    let mut hash = Fnv::default();
    hash.add_field(source.identity.as_bytes());
    let mut patches = Vec::new();
    for patch in &request.patches {
        let text = fs::read(patch).map_err(|error| context(patch, &error))?;
        hash.add_field(&text);
        patches.push((patch.clone(), text.len() as u64));
    }
    let symbols = fragments(&request.features);
    for Symbol { name, value, .. } in &symbols {
        hash.add_field(name.as_bytes());
        hash.add_field(value.as_bytes());
    }
    for argument in request.features.iter().flat_map(|feature| feature.make_arguments()) {
        hash.add_field(argument.as_bytes());
    }
    hash.add_field(request.local_version().as_bytes());
    hash.add(&softnic::hash_of_sources().to_le_bytes());
    let hash = hash.0;
    let built = cache.find(&built::place(hash)).is_some();
    let name = request.name();
    Ok((Plan { name, source: source.identity.clone(), patches, symbols, hash, built }, source))
}

fn build_in(
    cache: &Cache,
    request: &Request,
    progress: &mut dyn FnMut(&BuildProgress),
) -> Result<BuiltKernel, String> {
    let (plan, source) = plan_in(cache, request)?;
    if !plan.built {
        if let Some(obstacle) = build_root::obstacle() {
            return Err(obstacle);
        }
        let root = build_root::get_for_kernels(cache)?;
        let folder = cache.folder(&format!("building-{:016x}", plan.hash))?;
        let _lock = lock(&folder)?;
        // Another process may have built it while this one waited.
        if cache.find(&built::place(plan.hash)).is_none() {
            tree::prepare(&folder, &source, &request.patches, &root, progress)?;
            let ccache = cache.folder(CCACHE)?;
            let folders = compile::Folders { build: &folder, root: &root, ccache: &ccache };
            let made = compile::compile(folders, request, &plan.symbols, progress)?;
            let features = request.features.iter().copied().collect();
            built::describe(&made, &plan, features)?;
            cache.keep(&made, &built::place(plan.hash))?;
        }
        // Removing the tree takes a while, and the kernel can be used before.
        built::link(cache, &plan.name, plan.hash)?;
        fs::remove_dir_all(&folder).map_err(|error| context(&folder, &error))?;
    }
    built::link(cache, &plan.name, plan.hash)
}

/// One process at a time builds in a folder.
fn lock(folder: &Path) -> Result<File, String> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|error| context(&path, &error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => Err(format!("another process builds this kernel in {}", folder.display())),
    }
}

/// The configuration that was made is the one that was asked for.
fn check_configuration(config: &Path, asked: &[Symbol]) -> Result<(), String> {
    let text = fs::read_to_string(config).map_err(|error| context(config, &error))?;
    let found = differences(&text, asked);
    if found.is_empty() {
        return Ok(());
    }
    Err(format!("the configuration is not the one that was asked for:\n  {}", found.join("\n  ")))
}

fn context(what: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", what.display())
}
