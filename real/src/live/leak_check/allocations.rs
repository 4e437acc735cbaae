//! Objects that io_uring has allocated in the kernel: slab objects with their allocation stacks
//! (`slab_debug=U`, `/sys/kernel/debug/slab/*/alloc_traces`, `mm/slub.c`), and vmalloc areas
//! (`/proc/vmallocinfo`). Kernels without these files report nothing.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use super::settle::{SCAN_INTERVAL, settle};
use crate::abi::syscall;

/// Time that the kernel may take to free objects after an RCU grace period: with `CONFIG_RCU_LAZY`
/// the callbacks start up to 10 s later.
const SETTLE: Duration = Duration::from_secs(20);

/// Prefixes of the functions that belong to io_uring.
const IO_URING_PREFIXES: [&str; 10] = [
    "io_uring",
    "__io_uring",
    "__do_sys_io_uring",
    "__x64_sys_io_uring",
    "io_ring_",
    "io_register_",
    "io_zcrx",
    "io_submit_sqes",
    "io_region",
    "io_create_region",
];
/// Functions whose allocations do not belong to their caller: interrupt handlers, `alloc_fd`, which grows the
/// descriptor table of the process, and `netif_mp_close_rxq` (before 7.1 `net_mp_close_rxq`), which gives a queue
/// ordinary memory again.
const EXCLUDED_PREFIXES: [&str; 9] = [
    "asm_sysvec",
    "asm_common_interrupt",
    "handle_softirqs",
    "do_softirq",
    "alloc_fd",
    "netif_mp_close_rxq",
    "__netif_mp_close_rxq",
    "net_mp_close_rxq",
    "__net_mp_close_rxq",
];
/// Functions of an allocation stack that are shown and that distinguish kinds of objects.
const STACK_DEPTH: usize = 3;

/// The objects that io_uring had allocated at one time.
#[derive(Clone, Debug)]
pub struct AllocationSnapshot {
    before: Objects,
    last_scan: Instant,
}

impl AllocationSnapshot {
    /// Takes a snapshot.
    #[must_use]
    pub fn take() -> Self {
        AllocationSnapshot { before: Objects::now(), last_scan: Instant::now() }
    }

    /// The objects that were allocated since the snapshot and not freed within `SETTLE`. They become
    /// part of the snapshot, so each leak is reported once. A scan is slow: without `now` it is done
    /// at most once per `SCAN_INTERVAL`. `beat` is called before each scan.
    pub fn leaks(&mut self, now: bool, beat: &dyn Fn()) -> Vec<String> {
        if !now && self.last_scan.elapsed() < SCAN_INTERVAL {
            return Vec::new();
        }
        let left = settle(SETTLE, || {
            beat();
            syscall::synchronize_rcu();
            Objects::now().added_since(&self.before)
        });
        if !left.is_empty() {
            self.before = Objects::now();
        }
        self.last_scan = Instant::now();
        left
    }
}

/// The number of objects of each kind. A kind is a slab cache and an allocation stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Objects(BTreeMap<String, u64>);

impl Objects {
    /// The objects of the running kernel.
    fn now() -> Self {
        let mut objects = Objects::default();
        for entry in fs::read_dir("/sys/kernel/debug/slab").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("kmalloc") || name.starts_with("io_") {
                let traces = fs::read_to_string(entry.path().join("alloc_traces"));
                objects.add_traces(&name, &traces.unwrap_or_default());
            }
        }
        objects.add_vmallocinfo(&fs::read_to_string("/proc/vmallocinfo").unwrap_or_default());
        objects
    }

    /// Parses `alloc_traces`: for each stack a line that begins with the number of objects, then one
    /// function a line, then an empty line.
    fn add_traces(&mut self, cache: &str, text: &str) {
        for block in text.split("\n\n") {
            let mut lines = block.lines().map(str::trim).filter(|line| !line.is_empty());
            let count = lines.next().and_then(|line| line.split(' ').next()?.parse::<u64>().ok());
            let functions: Vec<&str> =
                lines.map(|line| line.split('+').next().unwrap_or(line)).collect();
            if let (Some(count), true) = (count, is_io_uring(&functions)) {
                *self.0.entry(format!("{cache}, {}", stack_summary(&functions))).or_default() +=
                    count;
            }
        }
    }

    /// Parses `/proc/vmallocinfo`: a line for each area with addresses, size and `function+offset/size`.
    fn add_vmallocinfo(&mut self, text: &str) {
        for line in text.lines() {
            let caller = line.split_whitespace().nth(2).and_then(|word| word.split('+').next());
            if let Some(caller) = caller.filter(|caller| is_io_uring(&[caller])) {
                *self.0.entry(format!("virtual memory, {caller}")).or_default() += 1;
            }
        }
    }

    /// The kinds that have more objects than before.
    fn added_since(&self, before: &Objects) -> Vec<String> {
        let more = self.0.iter().filter_map(|(kind, count)| {
            let more = count.saturating_sub(before.0.get(kind).copied().unwrap_or(0));
            (more > 0).then(|| format!("the kernel still has {more} of {kind}"))
        });
        more.collect()
    }
}

fn is_io_uring(functions: &[&str]) -> bool {
    let any = |words: &[&str]| {
        functions.iter().any(|function| words.iter().any(|word| function.starts_with(word)))
    };
    any(&IO_URING_PREFIXES) && !any(&EXCLUDED_PREFIXES)
}

/// A few functions of the stack, from the caller of the first io_uring function on.
fn stack_summary(functions: &[&str]) -> String {
    let is_io_uring =
        |function: &&str| IO_URING_PREFIXES.iter().any(|word| function.starts_with(word));
    let start = functions.iter().position(is_io_uring).unwrap_or(0).saturating_sub(1);
    let end = functions.len().min(start + STACK_DEPTH);
    functions[start..end].join(" < ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACES: &str = "\
      7 class_register+0x45/0x160 waste=560/112 age=2111/2620/2919 pid=1
        class_register+0x45/0x160
        do_one_initcall+0x57/0x310

      2 io_register_zcrx+0x81/0x900 age=10/10/10 pid=1
        __kmalloc_cache_noprof+0x1/0x2
        io_register_zcrx+0x81/0x900
        __do_sys_io_uring_register+0x11/0x22
        do_syscall_64+0x1/0x2

      1 sk_alloc+0x1/0x2 age=10 pid=1
        sk_alloc+0x1/0x2
        handle_softirqs+0x1/0x2
        __do_sys_io_uring_enter+0x1/0x2

      1 alloc_fdtable+0x1/0x2 age=10 pid=1
        alloc_fd+0x1/0x2
        io_zcrx_ctrl+0x1/0x2
        __do_sys_io_uring_register+0x11/0x22

      1 page_pool_create_percpu+0x1/0x2 age=10 pid=1
        page_pool_create_percpu+0x1/0x2
        __netif_mp_close_rxq+0x1/0x2
        io_terminate_zcrx+0x1/0x2
        io_ring_exit_work+0x1/0x2

";

    #[test]
    fn allocations_of_io_uring_are_counted_by_stack_and_others_are_ignored() {
        let mut objects = Objects::default();
        objects.add_traces("kmalloc-512", TRACES);
        let kind =
            "kmalloc-512, __kmalloc_cache_noprof < io_register_zcrx < __do_sys_io_uring_register";
        assert_eq!(objects.0, [(kind.to_owned(), 2)].into());
        assert_eq!(objects.added_since(&objects), Vec::<String>::new());
        let left = objects.added_since(&Objects([(kind.to_owned(), 1)].into()));
        assert_eq!(left, [format!("the kernel still has 1 of {kind}")]);
    }

    #[test]
    fn vmalloc_areas_are_counted_by_their_caller() {
        let mut objects = Objects::default();
        objects.add_vmallocinfo(
            "0xffffc90000000000-0xffffc90000005000   20480 io_region_init_ptr+0x1/0x2 vmap\n\
             0xffffc90000000000-0xffffc90000005000   20480 io_uring_mmap+0x1/0x2 vmap\n\
             0xffffc90000007000-0xffffc90000009000    8192 gen_pool_add_owner+0x5c/0xc0 vmalloc\n",
        );
        let kinds = ["virtual memory, io_region_init_ptr", "virtual memory, io_uring_mmap"];
        assert_eq!(objects.0, kinds.map(|kind| (kind.to_owned(), 1)).into());
    }
}
