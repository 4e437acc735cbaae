//! Stops a task at a place while everything else runs on.
//!
//! Where preemption is enabled the task is *parked*: made to call `schedule_timeout_uninterruptible`, which
//! returns to the place, again and again until it may go on. Its processor passes quiescent states meanwhile, so
//! RCU goes on. Where preemption is disabled its vCPU is *held*: left out until the task may go on.

use super::guest::{Guest, Hit};
use super::remote::{Reg, Registers};

/// The function that a parked task calls.
const SLEEP: &str = "schedule_timeout_uninterruptible";
/// The function with which one task ends the sleep of another.
const WAKE: &str = "wake_up_process";
/// Timer ticks after which a sleep ends if nothing ends it. An idle guest skips them.
const TICKS: u64 = 50;
/// Bytes of the stack below the stack pointer that stay unused.
const GAP: u64 = 512;

/// A task that stands at a place.
#[derive(Clone, Debug)]
pub(super) enum Stand {
    /// It sleeps, and returns to its place every now and then.
    Parked(Parked),
    /// Its vCPU is left out.
    Held(Hit),
}

/// A parked task.
#[derive(Clone, Debug)]
pub(super) struct Parked {
    task: u64,
    address: u64,
    /// Its registers at the place.
    regs: Registers,
    /// The stack pointer after a sleep.
    stack: u64,
}

impl Stand {
    /// Stops a task where it has hit a breakpoint.
    pub(super) fn begin(guest: &mut Guest, hit: &Hit) -> Result<Self, String> {
        guest.add_breakpoint(hit.address)?;
        if guest.preempt_count(hit)? > 0 || !hit.regs.interrupts_enabled() {
            guest.hold(hit.cpu, true);
            return Ok(Stand::Held(hit.clone()));
        }
        let stack = (hit.regs.get(Reg::Rsp) - GAP) & !15;
        let parked = Parked { task: hit.task, address: hit.address, regs: hit.regs.clone(), stack };
        parked.sleep(guest, hit)?;
        Ok(Stand::Parked(parked))
    }

    /// Whether this is where a hit belongs: the task has returned from a sleep.
    pub(super) fn is_at(&self, hit: &Hit) -> Option<&Parked> {
        let Stand::Parked(parked) = self else { return None };
        let stack = hit.regs.get(Reg::Rsp);
        let same = (hit.task, hit.address, stack) == (parked.task, parked.address, parked.stack);
        same.then_some(parked)
    }

    /// The address of the place.
    pub(super) fn address(&self) -> u64 {
        match self {
            Stand::Parked(parked) => parked.address,
            Stand::Held(hit) => hit.address,
        }
    }
}

impl Parked {
    /// The task that is parked.
    pub(super) fn task(&self) -> u64 {
        self.task
    }

    /// Sleeps once, from the place or after another call.
    pub(super) fn sleep(&self, guest: &mut Guest, hit: &Hit) -> Result<(), String> {
        self.call(guest, hit, SLEEP, TICKS)
    }

    /// Ends the sleep of another task, from the place or after another call.
    pub(super) fn wake(&self, guest: &mut Guest, hit: &Hit, other: u64) -> Result<(), String> {
        self.call(guest, hit, WAKE, other)
    }

    /// Calls a function, which returns to the place.
    fn call(&self, guest: &mut Guest, hit: &Hit, name: &str, argument: u64) -> Result<(), String> {
        let function = guest.symbols.function(name)?;
        guest.write_word(hit.cpu, self.stack - 8, self.address)?;
        let regs = hit.regs.clone().with(Reg::Rsp, self.stack - 8);
        guest.set_registers(hit.cpu, &regs.with(Reg::Rdi, argument).with(Reg::Rip, function))
    }

    /// Continues at the place after a sleep.
    pub(super) fn go_on(&self, guest: &mut Guest, hit: &Hit) -> Result<(), String> {
        let regs = hit.regs.clone().with_general_of(&self.regs);
        guest.set_registers(hit.cpu, &regs)?;
        guest.step_over(hit)?;
        guest.drop_breakpoint(self.address)
    }
}
