//! A guest that is controlled: its vCPUs, breakpoints and symbols.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use super::code::{Site, sites};
use super::remote::{Reg, Registers, Remote, RemoteError, Stop};
use super::symbols::Symbols;
use crate::abi::marker::{FUNCTION, Marker, OPTION, TAKEN};

/// Time that a guest has to call the marker once it has announced itself.
const MEETING_TIME: Duration = Duration::from_secs(60);
/// Offsets in `struct pt_regs` of the first four arguments of a system call.
const ARGUMENTS: [usize; 4] = [112, 104, 96, 56];
/// Bytes of `struct pt_regs` that are read.
const PT_REGS: usize = 120;
/// The bit of the preempt count that says that no rescheduling is needed.
const NO_RESCHED: u64 = 1 << 31;
/// A function is not longer than this.
const LONGEST: u64 = 1 << 14;

/// A vCPU that has stopped at a breakpoint.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    pub(super) cpu: usize,
    pub(super) regs: Registers,
    pub(super) address: u64,
    /// The task that it executes: the address of its `task_struct`.
    pub(super) task: u64,
}

/// A guest that stands still between two calls of [`Guest::run`].
#[derive(Debug)]
pub(super) struct Guest {
    remote: Remote,
    pub(super) symbols: Symbols,
    cpus: usize,
    /// The vCPUs that do not run.
    held: BTreeSet<usize>,
    /// How many users each breakpoint has.
    breakpoints: BTreeMap<u64, usize>,
    marker: u64,
    /// How often it has stopped.
    pub(super) stops: u64,
    /// How long it has run.
    pub(super) running: Duration,
}

impl Guest {
    /// Meets a guest that has announced itself: connects, and reads its symbols unless they are known. `read` gets
    /// what was read.
    pub(super) fn meet(
        socket: &Path,
        marker: u64,
        known: Option<&str>,
        read: &dyn Fn(&str),
    ) -> Result<Self, String> {
        let text = |error: RemoteError| error.to_string();
        let mut remote = Remote::connect(socket, MEETING_TIME).map_err(text)?;
        let cpus = remote.cpus().map_err(text)?;
        let known = known.map(Symbols::parse).unwrap_or_default();
        let marker = known.address(FUNCTION).unwrap_or(marker);
        let (symbols, held) = (Symbols::default(), BTreeSet::new());
        let (breakpoints, stops, running) = (BTreeMap::new(), 0, Duration::ZERO);
        let mut guest = Guest { remote, symbols, cpus, held, breakpoints, marker, stops, running };
        guest.add_breakpoint(marker)?;
        let start = Instant::now();
        loop {
            let left = MEETING_TIME.saturating_sub(start.elapsed());
            let hit = guest.run(left)?.ok_or("the guest did not come to meet its controller")?;
            if let Some(Marker::Symbols(at, len)) = guest.marker(&hit)? {
                guest.symbols = known;
                if len > 0 {
                    let bytes = guest.remote.read(hit.cpu, at, len as usize).map_err(text)?;
                    let all = String::from_utf8_lossy(&bytes);
                    guest.symbols = Symbols::parse(&all);
                    read(&all);
                }
                guest.return_from(&hit, TAKEN)?;
                return Ok(guest);
            }
            guest.step_over(&hit)?;
        }
    }

    /// Makes the function that a vCPU has just entered return a value at once.
    fn return_from(&mut self, hit: &Hit, value: i64) -> Result<(), String> {
        let stack = hit.regs.get(Reg::Rsp);
        let back = self.word(hit.cpu, stack)?;
        let regs = hit.regs.clone().with(Reg::Rax, value as u64).with(Reg::Rip, back);
        self.set_registers(hit.cpu, &regs.with(Reg::Rsp, stack + 8))
    }

    /// Runs until a vCPU stops at a breakpoint. `None`: none did within the time limit.
    pub(super) fn run(&mut self, limit: Duration) -> Result<Option<Hit>, String> {
        let cpus = (0..self.cpus).filter(|cpu| !self.held.contains(cpu));
        let start = Instant::now();
        let stop = self.remote.run(cpus, limit).map_err(|error| error.to_string())?;
        self.running += start.elapsed();
        self.stops += 1;
        match stop {
            None => Ok(None),
            Some(Stop::Exited) => Err("the guest has ended".to_owned()),
            Some(Stop::Signal { cpu, .. }) => {
                let regs = self.registers(cpu)?;
                let known = regs.in_kernel() && !self.symbols.is_empty();
                let task = if known { self.task(cpu, &regs)? } else { 0 };
                Ok(Some(Hit { cpu, address: regs.get(Reg::Rip), regs, task }))
            }
        }
    }

    /// The marker that a vCPU calls, if it has stopped because of one.
    pub(super) fn marker(&mut self, hit: &Hit) -> Result<Option<Marker>, String> {
        if hit.address != self.marker || !hit.regs.in_kernel() {
            return Ok(None);
        }
        let bytes = self.remote.read(hit.cpu, hit.regs.get(Reg::Rdi), PT_REGS);
        let bytes = bytes.map_err(|error| error.to_string())?;
        let [option, kind, first, second] = ARGUMENTS.map(|at| little_endian(&bytes[at..at + 8]));
        let ours = option as i32 == OPTION;
        Ok(Marker::of([kind, first, second]).filter(|_| ours))
    }

    /// The task that a vCPU executes.
    pub(super) fn task(&mut self, cpu: usize, regs: &Registers) -> Result<u64, String> {
        let at =
            self.per_cpu(&[("current_task", 0), ("const_current_task", 0), ("pcpu_hot", 0)])?;
        self.word(cpu, regs.get(Reg::GsBase).wrapping_add(at))
    }

    /// The task that a vCPU executes now.
    pub(super) fn current(&mut self, cpu: usize) -> Result<Option<u64>, String> {
        let regs = self.registers(cpu)?;
        // In user mode `gs` is the program's.
        if regs.in_kernel() { self.task(cpu, &regs).map(Some) } else { Ok(None) }
    }

    /// Whether a vCPU executes a task of the kernel.
    pub(super) fn runs(&mut self, task: u64) -> Result<bool, String> {
        for cpu in 0..self.cpus {
            if self.current(cpu)? == Some(task) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The timer ticks since the kernel has booted, from some number on.
    pub(super) fn jiffies(&mut self) -> Result<u64, String> {
        let at = self.symbols.address("jiffies").ok_or("the kernel has no variable jiffies")?;
        self.word(0, at)
    }

    /// Ends the guest.
    pub(super) fn kill(&mut self) -> Result<(), String> {
        self.remote.kill().map_err(|error| error.to_string())
    }

    /// How often preemption is disabled on a vCPU.
    pub(super) fn preempt_count(&mut self, hit: &Hit) -> Result<u64, String> {
        let at = self.per_cpu(&[("__preempt_count", 0), ("pcpu_hot", 8)])?;
        let word = self.word(hit.cpu, hit.regs.get(Reg::GsBase).wrapping_add(at))?;
        Ok(word & 0xffff_ffff & !NO_RESCHED)
    }

    fn per_cpu(&self, places: &[(&str, u64)]) -> Result<u64, String> {
        let known = |(name, offset): &(&str, u64)| Some(self.symbols.address(name)? + offset);
        places
            .iter()
            .find_map(known)
            .ok_or_else(|| format!("the kernel has no per-CPU variable {}", places[0].0))
    }

    /// The calls and atomic instructions of the function that starts at an address.
    pub(super) fn sites(&mut self, function: u64) -> Result<Vec<Site>, String> {
        let end = self.symbols.end(function).unwrap_or(function).min(function + LONGEST);
        let len = (end - function) as usize;
        let code = self.remote.read(0, function, len).map_err(|error| error.to_string())?;
        Ok(sites(&code, function))
    }

    /// Executes the instruction at which a vCPU stands although it has a breakpoint.
    pub(super) fn step_over(&mut self, hit: &Hit) -> Result<(), String> {
        let text = |error: RemoteError| error.to_string();
        let set = self.breakpoints.contains_key(&hit.address);
        if set {
            self.remote.remove_breakpoint(hit.address).map_err(text)?;
        }
        self.remote.step(hit.cpu).map_err(text)?;
        if set {
            self.remote.set_breakpoint(hit.address).map_err(text)?;
        }
        Ok(())
    }

    /// Sets a breakpoint, or counts one more user of it.
    pub(super) fn add_breakpoint(&mut self, at: u64) -> Result<(), String> {
        let users = self.breakpoints.entry(at).or_default();
        *users += 1;
        if *users == 1 {
            self.remote.set_breakpoint(at).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Counts one user less of a breakpoint, and removes it after the last one.
    pub(super) fn drop_breakpoint(&mut self, at: u64) -> Result<(), String> {
        if let Some(users) = self.breakpoints.get_mut(&at) {
            *users -= 1;
            if *users == 0 {
                self.breakpoints.remove(&at);
                self.remote.remove_breakpoint(at).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Leaves a vCPU out, or not.
    pub(super) fn hold(&mut self, cpu: usize, held: bool) {
        if held {
            self.held.insert(cpu);
        } else {
            self.held.remove(&cpu);
        }
    }

    pub(super) fn word(&mut self, cpu: usize, at: u64) -> Result<u64, String> {
        self.remote.read_u64(cpu, at).map_err(|error| error.to_string())
    }

    pub(super) fn write_word(&mut self, cpu: usize, at: u64, value: u64) -> Result<(), String> {
        let bytes = value.to_le_bytes();
        self.remote.write(cpu, at, &bytes).map_err(|error| error.to_string())
    }

    pub(super) fn registers(&mut self, cpu: usize) -> Result<Registers, String> {
        self.remote.registers(cpu).map_err(|error| error.to_string())
    }

    pub(super) fn set_registers(&mut self, cpu: usize, regs: &Registers) -> Result<(), String> {
        self.remote.set_registers(cpu, regs).map_err(|error| error.to_string())
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}
