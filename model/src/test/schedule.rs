//! The schedule of a run: as the decisions of the executor, or in words that name the context switches.
//!
//! A schedule in words is a list of [`Switch`]es. Each names a thread and the [`Place`] up to which the thread
//! runs. `docs/test-file-reference.md` says what the text form is and which runs match.

use serde::{Deserialize, Serialize};

use crate::fault::FaultPoint;
use crate::named_enum::named_enum;
use crate::platform::FIRST_KERNEL_SLOT;
use crate::revision::Defect;

/// The schedule of one run, or of all runs that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Defects that were added.
    pub defects: Vec<Defect>,
    /// Defects that were fixed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Defect>,
    /// Which thread runs when.
    #[serde(flatten)]
    pub order: ScheduleOrder,
}

/// Which thread runs when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleOrder {
    /// The decisions of one run: the index of the thread that took each step, and 0 or 1 for each fault point.
    /// The executor defines the encoding; a file names its version.
    Decisions(Vec<u32>),
    /// The context switches, in words.
    Switches(Vec<Switch>),
}

impl Schedule {
    /// The decisions, if this is the form of the schedule.
    #[must_use]
    pub fn decisions(&self) -> Option<&[u32]> {
        match &self.order {
            ScheduleOrder::Decisions(decisions) => Some(decisions),
            ScheduleOrder::Switches(_) => None,
        }
    }

    /// The context switches, if this is the form of the schedule.
    #[must_use]
    pub fn switches(&self) -> Option<&[Switch]> {
        match &self.order {
            ScheduleOrder::Decisions(_) => None,
            ScheduleOrder::Switches(switches) => Some(switches),
        }
    }
}

/// One line of a schedule: a thread runs until it is at a place.
///
/// From the end of the previous line on, `thread` runs and no other thread does. Two exceptions: while `thread` has
/// not started, and while it is blocked, all other threads may run. The line ends when `thread` is at `until`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// The thread that runs.
    pub thread: ThreadName,
    /// All other threads may run as well: the line says only that `thread` comes to the place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub or_any: bool,
    /// Where the line ends.
    pub until: Place,
    /// The fault points that fail in `thread` during this line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<FailingFault>,
}

/// A thread of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThreadName {
    /// Runs the set-up, the final steps and the end. Text: `main()`.
    Main,
    /// A thread of the test, by its index. Text: its name.
    Test(usize),
    /// `io_ring_exit_work` of a ring, by its index. Text: `exit(RING)`.
    Exit(u8),
    /// `percpu_ref_switch_to_atomic_rcu` of a ring's `refs`. Text: `rcu(RING)`.
    Rcu(u8),
    /// `percpu_ref_switch_to_atomic_rcu` of an ifq's `refs`. Text: `ifq-rcu(ifqN)`.
    IfqRcu(u32),
    /// `zcrx_release_work` of an ifq. Text: `release(ifqN)`.
    Release(u32),
    /// `page_pool_release_retry` of a page pool: number of the ifq, number of the pool. Text: `pp(ifqN POOL)`.
    PagePool(u32, u32),
}

const IFQ_RCU: u32 = 2 * FIRST_KERNEL_SLOT + (1 << 30);
const RELEASE: u32 = 2 * FIRST_KERNEL_SLOT + (2 << 30);

impl ThreadName {
    /// The thread's slot; see [`crate::platform::NewThread::slot`].
    #[must_use]
    pub fn slot(self) -> u32 {
        match self {
            ThreadName::Main => 0,
            ThreadName::Test(index) => 1 + index as u32,
            ThreadName::Exit(ring) => FIRST_KERNEL_SLOT + 2 * u32::from(ring),
            ThreadName::Rcu(ring) => FIRST_KERNEL_SLOT + 1 + 2 * u32::from(ring),
            ThreadName::IfqRcu(ifq) => IFQ_RCU + ifq,
            ThreadName::Release(ifq) => RELEASE + ifq,
            ThreadName::PagePool(ifq, pool) => 2 * FIRST_KERNEL_SLOT + ifq + (pool << 20),
        }
    }

    /// The thread with a slot.
    #[must_use]
    pub fn of_slot(slot: u32) -> Self {
        match slot {
            0 => ThreadName::Main,
            RELEASE.. => ThreadName::Release(slot - RELEASE),
            IFQ_RCU.. => ThreadName::IfqRcu(slot - IFQ_RCU),
            _ if slot < FIRST_KERNEL_SLOT => ThreadName::Test(slot as usize - 1),
            _ if slot < 2 * FIRST_KERNEL_SLOT => {
                let (ring, rcu) = ((slot - FIRST_KERNEL_SLOT) / 2, slot % 2 == 1);
                // No truncation: there are at most 128 rings below twice the first slot.
                if rcu { ThreadName::Rcu(ring as u8) } else { ThreadName::Exit(ring as u8) }
            }
            _ => {
                let rest = slot - 2 * FIRST_KERNEL_SLOT;
                ThreadName::PagePool(rest & ((1 << 20) - 1), rest >> 20)
            }
        }
    }

    /// Whether it is a work item or RCU callback of the kernel.
    #[must_use]
    pub fn is_kernel(self) -> bool {
        !matches!(self, ThreadName::Main | ThreadName::Test(_))
    }
}

/// Where a line of a schedule ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The thread has ended. Text: `done`.
    Done,
    /// The thread cannot continue: it waits for a lock or a condition. Text: `blocked`.
    Blocked,
    /// The thread is in a kernel function. The thread has taken at least one step since the line began, unless it had
    /// not run before.
    At(CodePlace),
}

/// A place in the kernel code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodePlace {
    /// The kernel function that contains the access, or is entered or left. `None`: any function, for accesses only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Which place of the function.
    pub position: Position,
    /// The access, for [`Position::Before`] and [`Position::After`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The thread comes to the place for the n-th time since the line began; counts from 1. Text: `#N`, left out if 1.
    pub occurrence: u32,
}

named_enum! {
    /// Which place of a function.
    pub enum Position {
        Before "before" "The thread is about to do the access.";
        After "after" "The thread has done the access.";
        Enter "enter" "The thread has entered the function.";
        Return "return" "The thread has returned from the function.";
    }
}

/// An access: what is done, and with which object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// What is done.
    pub kind: AccessKind,
    /// With what.
    pub object: ObjectName,
}

named_enum! {
    /// What an access does. An access is a scheduling point unless the sentence says otherwise.
    pub enum AccessKind {
        Load "load" "`READ_ONCE`, `atomic_read`, `smp_load_acquire`, `xa_load`.";
        Store "store" "`WRITE_ONCE`, `atomic_set`, `smp_store_release`; no scheduling point under a lock.";
        Inc "inc" "An atomic addition: `refcount_inc`, `atomic_inc`, `percpu_ref_get`.";
        Dec "dec" "An atomic subtraction: `refcount_dec_and_test`, `atomic_dec`, `percpu_ref_put`.";
        IncUnless "inc-unless" "An addition unless the value is a certain one: `refcount_inc_not_zero`.";
        Xchg "xchg" "`xchg`.";
        CmpXchg "cmpxchg" "`cmpxchg`, `atomic_try_cmpxchg`.";
        Or "or" "`atomic_or`, `set_bit`, `xa_set_mark`, `percpu_ref_kill`.";
        And "and" "`atomic_and`, `clear_bit`.";
        Lock "lock" "A mutex or a spinlock is taken.";
        Unlock "unlock" "A mutex or a spinlock is released; no scheduling point.";
        Wait "wait" "`wait_event`, `wait_for_completion`: the thread sleeps until a condition holds.";
        Wake "wake" "`wake_up`, `complete`: a condition that threads wait for is changed.";
        Read "read" "A plain read; no scheduling point.";
        Write "write" "A plain write; no scheduling point.";
        Alloc "alloc" "An object is allocated; no scheduling point.";
        Free "free" "An object is freed; no scheduling point.";
    }
}

impl AccessKind {
    /// Whether [`Position::Before`] can name it: a thread can stand before the access.
    #[must_use]
    pub fn is_scheduling_point(self) -> bool {
        !matches!(
            self,
            AccessKind::Unlock
                | AccessKind::Read
                | AccessKind::Write
                | AccessKind::Alloc
                | AccessKind::Free
        )
    }
}

/// The object of an access: a field or a lock, or of an allocation the kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectName {
    /// The object that contains it; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The name of the field or lock, or the kind of the object.
    pub name: String,
}

/// An object that contains fields. Text: the name of the ring, or kind and number as in `ifq0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its kind: [`crate::platform::Kind::name`].
    pub kind: String,
    /// Its number among the objects of its kind.
    pub number: u32,
}

/// A fault point that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingFault {
    /// The fault point.
    pub point: FaultPoint,
    /// The thread reaches the point for the n-th time since the line began; counts from 1.
    pub occurrence: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_names_one_thread() {
        let threads = [
            ThreadName::Main,
            ThreadName::Test(0),
            ThreadName::Test(31),
            ThreadName::Exit(0),
            ThreadName::Exit(31),
            ThreadName::Rcu(0),
            ThreadName::Rcu(31),
            ThreadName::IfqRcu(0),
            ThreadName::IfqRcu(7),
            ThreadName::Release(0),
            ThreadName::Release(7),
            ThreadName::PagePool(0, 0),
            ThreadName::PagePool(3, 5),
        ];
        for thread in threads {
            assert_eq!(ThreadName::of_slot(thread.slot()), thread);
        }
    }
}
