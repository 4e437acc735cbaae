//! A shell in a guest, on our own terminal, or one command in it.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::cache::Cache;
use super::image::Root;
use super::process::{Guarded, LOOK, interrupted};
use super::wires::{Lasting, Wires};
use super::{Failure, On, Qemu, Uml, busybox, initramfs};
use crate::guest_shell::{BUSYBOX, SCRIPT, exit_code};

/// How a guest with a shell is started.
pub(super) struct Session<'a> {
    /// Where the archive is from which the guest begins.
    pub(super) initrd: &'a str,
    /// Whether the console is our terminal; else it is standard error, and the answer standard
    /// output.
    pub(super) terminal: bool,
}

/// Runs a command in a machine, or an interactive shell; the exit code.
///
/// # Errors
///
/// [`Failure`]; a host has a shell of its own.
pub fn shell(ifq: &Path, on: &On, cpus: u32, script: Option<&str>) -> Result<u8, Failure> {
    interrupted();
    let start: &dyn Fn(&Session<'_>) -> Result<Command, Failure> = match on {
        On::Host => return Err(Failure::NotRun("this host has a shell of its own".into())),
        On::Uml => {
            let machine = Uml::new(ifq)?;
            &move |session| machine.session(session)
        }
        On::Qemu(series) => {
            let machine = Qemu::debian(ifq, *series, cpus)?;
            &move |session| machine.session(session)
        }
        On::Kernel(image) => {
            let machine = Qemu::file(ifq, image, cpus);
            &move |session| machine.session(session)
        }
    };
    let root = root(ifq, script).map_err(Failure::NotRun)?;
    match script {
        Some(_) => batch(&root, start),
        None => interactive(&root, start),
    }
}

fn root(ifq: &Path, script: Option<&str>) -> Result<Root, String> {
    let mut root = Root::of(ifq)?;
    root.add(BUSYBOX, busybox::get(&Cache::of_user()?)?);
    if let Some(script) = script {
        root.add(SCRIPT, script.as_bytes().to_vec());
    }
    Ok(root)
}

/// One command, whose output is ours.
fn batch(
    root: &Root,
    start: &dyn Fn(&Session<'_>) -> Result<Command, Failure>,
) -> Result<u8, Failure> {
    let wires = Wires::new(|file| {
        initramfs::write(std::io::BufWriter::new(file), root).map_err(|error| error.to_string())
    })
    .map_err(Failure::NotRun)?;
    let mut command = start(&Session { initrd: super::wires::INPUT, terminal: false })?;
    wires.connect(&mut command).map_err(Failure::NotRun)?;
    let mut child = Guarded::start(command).map_err(Failure::NotRun)?;
    let mut printed = 0;
    loop {
        let ended = child.ended();
        let bytes = wires.answer(printed);
        printed += bytes.len() as u64;
        // Whoever closes our output does not want the rest.
        let mut out = std::io::stdout().lock();
        if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
            return Ok(0);
        }
        if ended.is_some() {
            break;
        }
        if interrupted() {
            return Err(Failure::Interrupted);
        }
        std::thread::sleep(LOOK);
    }
    exit_code(&wires.console()).ok_or_else(|| {
        Failure::NotRun(format!("the command did not end; the console:\n{}", wires.tail()))
    })
}

/// A shell on our terminal.
fn interactive(
    root: &Root,
    start: &dyn Fn(&Session<'_>) -> Result<Command, Failure>,
) -> Result<u8, Failure> {
    let archive = Lasting::new(|file| {
        initramfs::write(std::io::BufWriter::new(file), root).map_err(|error| error.to_string())
    })
    .map_err(Failure::NotRun)?;
    let command = start(&Session { initrd: &archive.path(), terminal: true })?;
    let _terminal = Terminal::keep();
    let mut child = Guarded::start_in_front(command).map_err(Failure::NotRun)?;
    while child.ended().is_none() {
        if interrupted() {
            return Err(Failure::Interrupted);
        }
        std::thread::sleep(LOOK);
    }
    Ok(0)
}

/// Our terminal as it was, put back when this is dropped.
struct Terminal(Option<Termios>);

impl Terminal {
    fn keep() -> Self {
        Terminal(tcgetattr(std::io::stdin()).ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, settings);
        }
    }
}
