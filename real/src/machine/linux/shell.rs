//! Starts a guest with an interactive shell, or with one command.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::cache::Cache;
use super::guest_channel::{GuestChannel, MemFd};
use super::guest_root::GuestRoot;
use super::process::{KillOnDrop, POLL_INTERVAL, interrupted};
use super::qemu::Qemu;
use super::shell_session::ShellSession;
use super::uml::Uml;
use super::{busybox, initramfs};
use crate::guest::shell::{BUSYBOX, SCRIPT, exit_code};
use crate::machine::{Failure, MachineSpec};

/// Runs a command in a machine, or an interactive shell; the exit code.
///
/// # Errors
///
/// [`Failure`]; a host has a shell of its own.
pub fn shell(ifq: &Path, on: &MachineSpec, cpus: u32, script: Option<&str>) -> Result<u8, Failure> {
    interrupted();
    let mut root = root(ifq, script).map_err(Failure::NotRun)?;
    let start: &dyn Fn(&ShellSession<'_>) -> Result<Command, Failure> = match on {
        MachineSpec::Host => {
            return Err(Failure::NotRun("this host has a shell of its own".into()));
        }
        MachineSpec::Rig(_) => {
            return Err(Failure::NotRun("a rig is reached with ssh".into()));
        }
        MachineSpec::Uml => {
            let machine = Uml::new(ifq)?;
            &move |session| machine.session(session)
        }
        MachineSpec::Qemu(series) => {
            let machine = Qemu::debian(ifq, *series, cpus)?;
            &move |session| machine.session(session)
        }
        MachineSpec::QemuNic(series) => {
            let machine = Qemu::debian(ifq, *series, cpus)?.with_nic();
            machine.add_files(&mut root)?;
            &move |session| machine.session(session)
        }
        MachineSpec::Built { name, nic } => {
            let machine = Qemu::built(ifq, name, cpus)?;
            let machine = if *nic { machine.with_nic() } else { machine };
            machine.add_files(&mut root)?;
            &move |session| machine.session(session)
        }
        MachineSpec::Kernel(image) => {
            let machine = Qemu::file(ifq, image, cpus);
            &move |session| machine.session(session)
        }
    };
    match script {
        Some(_) => batch(&root, start),
        None => interactive(&root, start),
    }
}

fn root(ifq: &Path, script: Option<&str>) -> Result<GuestRoot, String> {
    let mut root = GuestRoot::of(ifq)?;
    root.add(BUSYBOX, busybox::get(&Cache::of_user()?)?);
    if let Some(script) = script {
        root.add(SCRIPT, script.as_bytes().to_vec());
    }
    Ok(root)
}

/// One command, whose output is ours.
fn batch(
    root: &GuestRoot,
    start: &dyn Fn(&ShellSession<'_>) -> Result<Command, Failure>,
) -> Result<u8, Failure> {
    let channel = GuestChannel::new(|file| {
        initramfs::write(std::io::BufWriter::new(file), root).map_err(|error| error.to_string())
    })
    .map_err(Failure::NotRun)?;
    let mut command =
        start(&ShellSession { initrd: super::guest_channel::INPUT, terminal: false })?;
    channel.connect(&mut command).map_err(Failure::NotRun)?;
    let mut child = KillOnDrop::start(command).map_err(Failure::NotRun)?;
    let mut printed = 0;
    loop {
        let ended = child.exit_status();
        let bytes = channel.answer(printed);
        printed += bytes.len() as u64;
        let mut out = std::io::stdout().lock();
        crate::output::written(out.write_all(&bytes).and_then(|()| out.flush()));
        if ended.is_some() {
            break;
        }
        if interrupted() {
            return Err(Failure::Interrupted);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    exit_code(&channel.console()).ok_or_else(|| {
        Failure::NotRun(format!("the command did not end; the console:\n{}", channel.tail()))
    })
}

/// A shell on our terminal.
fn interactive(
    root: &GuestRoot,
    start: &dyn Fn(&ShellSession<'_>) -> Result<Command, Failure>,
) -> Result<u8, Failure> {
    let archive = MemFd::new(|file| {
        initramfs::write(std::io::BufWriter::new(file), root).map_err(|error| error.to_string())
    })
    .map_err(Failure::NotRun)?;
    let command = start(&ShellSession { initrd: &archive.path(), terminal: true })?;
    let _terminal = Terminal::keep();
    let mut child = KillOnDrop::start_in_foreground(command).map_err(Failure::NotRun)?;
    while child.exit_status().is_none() {
        if interrupted() {
            return Err(Failure::Interrupted);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(0)
}

/// The settings of the terminal, restored when this is dropped.
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
