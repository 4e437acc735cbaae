//! The machines `qemu:SERIES` and `kernel:PATH`: a kernel of Debian or of the user in QEMU.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cache::Cache;
use super::guest_channel::{ANSWER, CONSOLE_PATH, INPUT};
use super::guest_process::BootResult;
use super::guest_root::{GuestRoot, INIT};
use super::kernel_build::BuiltKernel;
use super::qemu_binary::{self, PROGRAM};
use super::shell_session::ShellSession;
use super::{debian_kernel, guest_process, initramfs, kernel_build, kvm, process, retry, softnic};
use crate::guest::MODULE;
use crate::job::{Job, JobLine, Reply, RunInfo};
use crate::kernel_build::Feature;
use crate::kernels::series::built_as;
use crate::kernels::supported::Equipment;
use crate::machine::{Failure, Machine, MachineSpec, Series};

/// The guest's memory in MiB.
const MEMORY: &str = "768";
/// Time for the first line: the kernel boots and probes in it.
const BOOT_ACCELERATED: Duration = Duration::from_secs(60);
/// The same if every instruction is emulated.
const BOOT_EMULATED: Duration = Duration::from_secs(240);
/// Kernel parameters: print warnings to the console, detect use after free, and disable mitigations,
/// which only cost time here.
const KERNEL: [&str; 8] = [
    "console=ttyS0",
    "loglevel=5",
    "panic=-1",
    "panic_on_warn=0",
    SLAB_DEBUG,
    "kfence.sample_interval=1",
    "mitigations=off",
    "random.trust_cpu=on",
];
/// Poisons freed objects and keeps the stack of each allocation. The quarantine of KASAN holds freed objects back, so
/// that they would look like leaks; KASAN finds what this finds, and kmemleak the leaks.
const SLAB_DEBUG: &str = "slab_debug=FZPU";
/// The serial lines in the guest: of the console, and of the answer.
const CONSOLE_LINE: &str = "/dev/ttyS0";
const ANSWER_LINE: &str = "/dev/ttyS1";

/// The machine.
#[derive(Debug)]
pub struct Qemu {
    ifq: PathBuf,
    kernel: Kernel,
    cpus: u32,
    nic: bool,
}

#[derive(Debug)]
enum Kernel {
    Debian(Series, Cache),
    Built(BuiltKernel),
    File(PathBuf),
}

impl Qemu {
    /// Debian's newest kernel of a series with so many processors; `ifq` is the executable that
    /// understands `ifq guest` and becomes the guest's init.
    ///
    /// # Errors
    ///
    /// [`Failure::NotRun`] if there is no directory for a cache.
    pub fn debian(ifq: &Path, series: Series, cpus: u32) -> Result<Self, Failure> {
        let cache = Cache::of_user().map_err(Failure::NotRun)?;
        Ok(Qemu { ifq: ifq.into(), kernel: Kernel::Debian(series, cache), cpus, nic: false })
    }

    /// A kernel that was built here.
    ///
    /// # Errors
    ///
    /// [`Failure::NotRun`] if none has this name.
    pub fn built(ifq: &Path, name: &str, cpus: u32) -> Result<Self, Failure> {
        let kernel = kernel_build::find(&Cache::of_user().map_err(Failure::NotRun)?, name);
        let kernel = kernel.ok_or_else(|| {
            Failure::NotRun(format!("no kernel is called {name}; `ifq kernel build` builds one"))
        })?;
        Ok(Qemu { ifq: ifq.into(), kernel: Kernel::Built(kernel), cpus, nic: false })
    }

    /// A kernel image of the user.
    #[must_use]
    pub fn file(ifq: &Path, image: &Path, cpus: u32) -> Self {
        Qemu { ifq: ifq.into(), kernel: Kernel::File(image.into()), cpus, nic: false }
    }

    /// The same machine with a NIC, if its kernel is one of Debian's or was built here.
    #[must_use]
    pub fn with_nic(self) -> Self {
        Qemu { nic: true, ..self }
    }

    /// Adds the files that the guest needs beside `ifq`, built if need be.
    pub(super) fn add_files(&self, root: &mut GuestRoot) -> Result<(), Failure> {
        if !self.nic {
            return Ok(());
        }
        let module = match &self.kernel {
            Kernel::Debian(series, cache) => debian_kernel::get(cache, *series, false)
                .and_then(|image| softnic::get(cache, &image, false)),
            Kernel::Built(kernel) => kernel.module(),
            Kernel::File(_) => return Ok(()),
        };
        let module = module.map_err(not_run)?;
        root.add(MODULE, module);
        Ok(())
    }

    /// Keeps what a guest says about its kernel.
    fn keep(&self, line: &JobLine) {
        if let (Kernel::Built(kernel), JobLine::Coverage { counters }) = (&self.kernel, line)
            && let Err(error) = kernel.keep_coverage(counters)
        {
            errln!("ifq: {error}");
        }
    }

    fn spec(&self) -> MachineSpec {
        match &self.kernel {
            Kernel::Debian(series, _) if self.nic => MachineSpec::QemuNic(*series),
            Kernel::Debian(series, _) => MachineSpec::Qemu(*series),
            Kernel::Built(kernel) => {
                MachineSpec::Built { name: kernel.name.clone(), nic: self.nic }
            }
            Kernel::File(path) => MachineSpec::Kernel(path.clone()),
        }
    }

    /// The path of the kernel's image, fetched if need be.
    fn image(&self) -> Result<PathBuf, Failure> {
        if std::env::consts::ARCH != "x86_64" {
            let arch = std::env::consts::ARCH;
            return Err(Failure::NotRun(format!("kernels for amd64 are not run on {arch}")));
        }
        qemu_binary::check().map_err(Failure::NotRun)?;
        match &self.kernel {
            Kernel::Built(kernel) => Ok(kernel.image()),
            Kernel::File(path) => Ok(path.clone()),
            Kernel::Debian(series, cache) => {
                debian_kernel::get(cache, *series, false).map(|image| image.path).map_err(not_run)
            }
        }
    }
}

/// Why a kernel or a module could not be had.
fn not_run(reason: String) -> Failure {
    if process::interrupted() { Failure::Interrupted } else { Failure::NotRun(reason) }
}

impl Machine for Qemu {
    fn name(&self) -> String {
        self.spec().to_string()
    }

    fn equipment(&self) -> Equipment {
        let built_as = match &self.kernel {
            Kernel::Built(kernel) => built_as(&kernel.release),
            Kernel::Debian(..) | Kernel::File(_) => None,
        };
        Equipment { built_as, ..self.spec().equipment() }
    }

    fn may_crash(&self) -> bool {
        true
    }

    fn run(&self, job: &Job, progress: &mut dyn FnMut(&JobLine)) -> Result<Reply, Failure> {
        // Installs the signal handlers.
        process::interrupted();
        let image = self.image()?;
        let kvm = kvm::works(&image);
        if process::interrupted() {
            return Err(Failure::Interrupted);
        }
        let mut how = RunInfo { accelerated: Some(kvm.is_ok()), ..RunInfo::default() };
        how.cpus = Some(self.cpus);
        how.notes.extend(kvm.err().map(|reason| format!("emulated without KVM: {reason}")));
        let mut root = GuestRoot::of(&self.ifq).map_err(Failure::NotRun)?;
        self.add_files(&mut root)?;
        let mut progress = |line: &JobLine| {
            self.keep(line);
            progress(line);
        };
        retry::run(job, how, &mut progress, &mut |part, how, progress| {
            boot_with_fallback(how, &mut |how| self.boot(&image, &root, part, how, &mut *progress))
        })
    }
}

/// How a guest is controlled from outside, see [`crate::forced`].
#[derive(Clone, Copy, Debug)]
pub struct Control<'a> {
    /// The socket of QEMU's gdb stub.
    pub socket: &'a Path,
    /// The number of threads of the largest test. Each has a processor of its own, from 1 on.
    pub threads: usize,
}

impl Control<'_> {
    /// The number of processors: one more for unbound work items, and processor 0 for everything else.
    fn cpus(&self) -> usize {
        self.threads + 2
    }

    /// The kernel parameters that keep all other work away from the processors of threads.
    fn parameters(&self) -> String {
        let (last, work) = (self.threads, self.threads + 1);
        let cpus = if last == 1 { "1".to_owned() } else { format!("1-{last}") };
        // Offloaded callbacks would be lazy, and free objects after seconds only.
        format!(
            "nokaslr isolcpus={cpus} rcu_nocbs={cpus} rcutree.enable_rcu_lazy=0 \
             workqueue.unbound_cpus={work}"
        )
    }
}

/// The file with the symbols of a kernel, beside its image. Its number says what is selected.
const SYMBOLS: &str = "symbols-1";

impl Qemu {
    /// The release of the kernel as `uname -r` has it, fetched if need be. `None`: it is the user's, and only says so
    /// itself.
    ///
    /// # Errors
    ///
    /// [`Failure`]: there is no such kernel.
    pub fn release(&self) -> Result<Option<String>, Failure> {
        match &self.kernel {
            Kernel::Debian(series, cache) => {
                let image = debian_kernel::get(cache, *series, false).map_err(not_run)?;
                image.release().map(|release| Some(release.to_owned())).map_err(Failure::NotRun)
            }
            Kernel::Built(kernel) => Ok(Some(kernel.release.clone())),
            Kernel::File(_) => Ok(None),
        }
    }

    /// The symbols of the kernel, if an earlier guest has told them.
    #[must_use]
    pub fn known_symbols(&self) -> Option<String> {
        std::fs::read_to_string(self.symbols_file()?).ok().filter(|text| !text.is_empty())
    }

    /// Keeps the symbols of the kernel for later guests. They are lost without harm.
    pub fn remember_symbols(&self, text: &str) {
        let Some(file) = self.symbols_file() else { return };
        let Some(home) = file.parent() else { return };
        if let Ok(mut new) = tempfile::NamedTempFile::new_in(home)
            && new.write_all(text.as_bytes()).is_ok()
        {
            let _ = new.persist(file);
        }
    }

    /// An image of the user may change at any time.
    fn symbols_file(&self) -> Option<PathBuf> {
        let Kernel::Debian(series, cache) = &self.kernel else { return None };
        Some(debian_kernel::cached(cache, *series)?.path.with_file_name(SYMBOLS))
    }
}

/// The parameter that makes KFENCE check often. Its timer would run all the time while threads stand still.
const SAMPLING: &str = "kfence.sample_interval=1";

/// The same clock as [`engine`] has for one processor: the processors take turns.
const CONTROLLED: [&str; 6] =
    ["-accel", "tcg,thread=single", "-cpu", "max", "-icount", "shift=2,sleep=off"];

impl Qemu {
    /// Runs a job whose threads are controlled from outside. `progress` gets a [`JobLine::Controlled`] after each
    /// boot; the guest then waits for its controller.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub fn run_controlled(
        &self,
        job: &Job,
        control: Control<'_>,
        progress: &mut dyn FnMut(&JobLine),
    ) -> Result<Reply, Failure> {
        process::interrupted();
        let image = self.image()?;
        let cpus = u32::try_from(control.cpus()).ok();
        let how = RunInfo { accelerated: Some(false), cpus, ..RunInfo::default() };
        let mut root = GuestRoot::of(&self.ifq).map_err(Failure::NotRun)?;
        self.add_files(&mut root)?;
        let mut progress = |line: &JobLine| {
            self.keep(line);
            progress(line);
        };
        retry::run(job, how, &mut progress, &mut |part, _, progress| {
            let channel = initramfs::channel(&root, part).map_err(Failure::NotRun)?;
            let mut command = machine(&image, control.cpus(), &CONTROLLED);
            serial_lines(&mut command);
            let gdb = format!("unix:path={},server=on,wait=off", control.socket.display());
            command.args(["-gdb", &gdb, "-initrd", INPUT, "-append"]);
            let line = append(&["guest", initramfs::JOB, ANSWER_LINE]).replace(SAMPLING, "");
            let line = self.adapt(&line);
            command.arg(format!("{} {line}", control.parameters()));
            channel.connect(&mut command).map_err(Failure::NotRun)?;
            guest_process::supervise(command, part, &channel, BOOT_EMULATED, progress)
        })
    }

    /// The command that starts it with a shell.
    pub(super) fn session(&self, session: &ShellSession<'_>) -> Result<Command, Failure> {
        let image = self.image()?;
        let mut command = command(&image, kvm::works(&image).is_ok(), self.cpus);
        if session.terminal {
            command.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
        } else {
            serial_lines(&mut command);
        }
        let line = if session.terminal { CONSOLE_LINE } else { ANSWER_LINE };
        let append = self.adapt(&append(&["guest-shell", line]));
        command.args(["-initrd", session.initrd, "-append", &append]);
        Ok(command)
    }
}

impl Qemu {
    /// The command that starts it with a script, and a network card whose ssh port is one of loopback. Its console
    /// is appended to a file.
    pub(super) fn networked(
        &self,
        initrd: &str,
        console: &Path,
        port: u16,
    ) -> Result<Command, Failure> {
        let image = self.image()?;
        let mut command = Command::new(PROGRAM);
        let accelerated = kvm::works(&image).is_ok();
        // No clock that counts instructions: it goes on while the guest waits for the network.
        let engine: &[&str] = if accelerated {
            engine(true, 1)
        } else {
            &["-accel", "tcg,thread=single", "-cpu", "max"]
        };
        let forward = format!("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22");
        command
            .args(["-machine", "q35", "-smp", "1"])
            .args(engine)
            .args(["-m", MEMORY, "-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-netdev", &forward])
            .args(["-device", "virtio-net-pci,netdev=net,romfile="])
            .args(["-chardev", &format!("file,id=console,append=on,path={}", console.display())])
            .args(["-serial", "chardev:console"])
            .arg("-kernel")
            .arg(&image)
            .args([
                "-initrd",
                initrd,
                "-append",
                &self.adapt(&append(&["guest-shell", CONSOLE_LINE])),
            ]);
        Ok(command)
    }
}

/// Boots a machine; if it does not come up, boots it again with one processor.
fn boot_with_fallback(
    how: &mut RunInfo,
    boot: &mut dyn FnMut(&RunInfo) -> Result<BootResult, Failure>,
) -> Result<BootResult, Failure> {
    let first = boot(how)?;
    let cpus = how.cpus.unwrap_or(1);
    if first.probe.is_some() || cpus == 1 {
        return Ok(first);
    }
    let why = first.end.lines().find(|line| line.contains("panic")).unwrap_or(&first.end);
    let why = why.lines().next().unwrap_or_default();
    how.notes.push(format!("1 CPU, because it did not come up with {cpus}: {why}"));
    how.cpus = Some(1);
    boot(how)
}

impl Qemu {
    fn boot(
        &self,
        image: &Path,
        root: &GuestRoot,
        job: &Job,
        how: &RunInfo,
        progress: &mut dyn FnMut(&JobLine),
    ) -> Result<BootResult, Failure> {
        let channel = initramfs::channel(root, job).map_err(Failure::NotRun)?;
        let accelerated = how.accelerated == Some(true);
        let mut command = command(image, accelerated, how.cpus.unwrap_or(1));
        serial_lines(&mut command);
        let line = self.adapt(&append(&["guest", initramfs::JOB, ANSWER_LINE]));
        command.args(["-initrd", INPUT, "-append", &line]);
        channel.connect(&mut command).map_err(Failure::NotRun)?;
        let limit = if accelerated { BOOT_ACCELERATED } else { BOOT_EMULATED };
        guest_process::supervise(command, job, &channel, limit, progress)
    }

    /// The command line without what its kernel does better.
    fn adapt(&self, line: &str) -> String {
        match &self.kernel {
            Kernel::Built(kernel) if kernel.features.contains(&Feature::Kasan) => {
                line.replace(SLAB_DEBUG, "")
            }
            _ => line.to_owned(),
        }
    }
}

/// The console and the answer, on the first and the second serial line.
fn serial_lines(command: &mut Command) {
    command
        .args(["-chardev", &format!("file,id=console,append=on,path={CONSOLE_PATH}")])
        .args(["-chardev", &format!("file,id=answer,append=on,path={ANSWER}")])
        .args(["-serial", "chardev:console", "-serial", "chardev:answer"]);
}

/// The accelerator arguments of QEMU.
///
/// One emulated processor gets a clock that counts its instructions, 4 ns each, and goes on at once
/// when it waits. With the host's clock a busy host makes a kernel measure its timers wrong, and some
/// never come up. Several processors cannot have such a clock and run at the same time.
fn engine(accelerated: bool, cpus: u32) -> &'static [&'static str] {
    match (accelerated, cpus) {
        (true, _) => &["-accel", "kvm", "-cpu", "host"],
        (false, 1) => {
            &["-accel", "tcg,thread=single", "-cpu", "max", "-icount", "shift=2,sleep=off"]
        }
        (false, _) => &["-accel", "tcg,thread=multi", "-cpu", "max"],
    }
}

/// QEMU with a kernel and without any device.
fn command(image: &Path, accelerated: bool, cpus: u32) -> Command {
    machine(image, cpus as usize, engine(accelerated, cpus))
}

/// The same with these arguments of the accelerator.
fn machine(image: &Path, cpus: usize, engine: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["-machine", "q35", "-smp", &cpus.to_string()])
        .args(engine)
        .args(["-m", MEMORY, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
        .arg("-kernel")
        .arg(image);
    command
}

/// The kernel's command line, and our own as its init.
fn append(init: &[&str]) -> String {
    let rdinit = format!("rdinit={INIT}");
    [&KERNEL[..], &[&rdinit, "--"], init].concat().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::probe::Probe;

    fn booted(up: bool) -> BootResult {
        let probe = up.then(Probe::default);
        let end = "it died; its console:\n[1] Kernel panic - not syncing: Oops".into();
        BootResult {
            probe,
            up: Duration::ZERO,
            reports: Vec::new(),
            end,
            complete: false,
            damaged: false,
            lost: false,
        }
    }

    #[test]
    fn a_guest_that_does_not_boot_with_two_processors_gets_one_and_a_note() {
        let mut how = RunInfo { cpus: Some(2), ..RunInfo::default() };
        let boot =
            boot_with_fallback(&mut how, &mut |how| Ok(booted(how.cpus == Some(1)))).unwrap();
        assert!(boot.probe.is_some());
        assert_eq!(how.cpus, Some(1));
        assert!(how.notes[0].contains("Kernel panic"), "{how:?}");
        let mut how = RunInfo { cpus: Some(1), ..RunInfo::default() };
        assert!(boot_with_fallback(&mut how, &mut |_| Ok(booted(false))).unwrap().probe.is_none());
        assert_eq!(how.notes, Vec::<String>::new());
    }

    #[test]
    fn kernel_parameters_come_before_the_arguments_of_init() {
        let line = append(&["guest", "/job"]);
        assert!(line.starts_with("console=ttyS0 "), "{line}");
        assert!(line.ends_with(" rdinit=/ifq -- guest /job"), "{line}");
    }
}
