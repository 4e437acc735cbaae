//! Objects that io_uring has allocated in the kernel, as far as it tells: of slabs that remember
//! who allocated what (`slab_debug=U`, `/sys/kernel/debug/slab/*/alloc_traces`, `mm/slub.c`), and of
//! virtual memory (`/proc/vmallocinfo`).

use std::collections::BTreeMap;
use std::fs;

/// How functions begin that belong to io_uring.
const OURS: [&str; 10] = [
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
/// Functions whose objects are nobody's who called or was interrupted: those of an interrupt, and the
/// one that makes the process's table of descriptors larger, which stays.
const OTHERS: [&str; 5] =
    ["asm_sysvec", "asm_common_interrupt", "handle_softirqs", "do_softirq", "alloc_fd"];
/// Functions of a stack that are shown, and those below the allocator that tell objects apart.
const SHOWN: usize = 3;

/// How many objects there are of each kind: cache and who allocated it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Objects(BTreeMap<String, u64>);

impl Objects {
    /// Of the running kernel; none where it does not tell.
    pub(super) fn now() -> Self {
        let mut objects = Objects::default();
        for entry in fs::read_dir("/sys/kernel/debug/slab").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("kmalloc") || name.starts_with("io_") {
                let traces = fs::read_to_string(entry.path().join("alloc_traces"));
                objects.add_traces(&name, &traces.unwrap_or_default());
            }
        }
        objects.add_virtual(&fs::read_to_string("/proc/vmallocinfo").unwrap_or_default());
        objects
    }

    /// A block for each stack: a line that begins with the number of objects, the functions, an
    /// empty line.
    fn add_traces(&mut self, cache: &str, text: &str) {
        for block in text.split("\n\n") {
            let mut lines = block.lines().map(str::trim).filter(|line| !line.is_empty());
            let count = lines.next().and_then(|line| line.split(' ').next()?.parse::<u64>().ok());
            let functions: Vec<&str> =
                lines.map(|line| line.split('+').next().unwrap_or(line)).collect();
            if let (Some(count), true) = (count, is_ours(&functions)) {
                *self.0.entry(format!("{cache}, {}", shown(&functions))).or_default() += count;
            }
        }
    }

    /// A line for each area: addresses, size, `function+offset/size`, more.
    fn add_virtual(&mut self, text: &str) {
        for line in text.lines() {
            let caller = line.split_whitespace().nth(2).and_then(|word| word.split('+').next());
            if let Some(caller) = caller.filter(|caller| is_ours(&[caller])) {
                *self.0.entry(format!("virtual memory, {caller}")).or_default() += 1;
            }
        }
    }

    /// What there is more of than before.
    pub(super) fn beyond(&self, before: &Objects) -> Vec<String> {
        let more = self.0.iter().filter_map(|(kind, count)| {
            let more = count.saturating_sub(before.0.get(kind).copied().unwrap_or(0));
            (more > 0).then(|| format!("the kernel still has {more} of {kind}"))
        });
        more.collect()
    }
}

fn is_ours(functions: &[&str]) -> bool {
    let any = |words: &[&str]| {
        functions.iter().any(|function| words.iter().any(|word| function.starts_with(word)))
    };
    any(&OURS) && !any(&OTHERS)
}

/// The functions from the first one of ours on, or from the first one.
fn shown(functions: &[&str]) -> String {
    let is_ours = |function: &&str| OURS.iter().any(|word| function.starts_with(word));
    let start = functions.iter().position(is_ours).unwrap_or(0).saturating_sub(1);
    let end = functions.len().min(start + SHOWN);
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

";

    #[test]
    fn what_io_uring_allocated_is_counted_by_who_did_and_nothing_else_is() {
        let mut objects = Objects::default();
        objects.add_traces("kmalloc-512", TRACES);
        let kind =
            "kmalloc-512, __kmalloc_cache_noprof < io_register_zcrx < __do_sys_io_uring_register";
        assert_eq!(objects.0, [(kind.to_owned(), 2)].into());
        assert_eq!(objects.beyond(&objects), Vec::<String>::new());
        let left = objects.beyond(&Objects([(kind.to_owned(), 1)].into()));
        assert_eq!(left, [format!("the kernel still has 1 of {kind}")]);
    }

    #[test]
    fn virtual_memory_is_counted_by_its_caller() {
        let mut objects = Objects::default();
        objects.add_virtual(
            "0xffffc90000000000-0xffffc90000005000   20480 io_region_init_ptr+0x1/0x2 vmap\n\
             0xffffc90000000000-0xffffc90000005000   20480 io_uring_mmap+0x1/0x2 vmap\n\
             0xffffc90000007000-0xffffc90000009000    8192 gen_pool_add_owner+0x5c/0xc0 vmalloc\n",
        );
        let kinds = ["virtual memory, io_region_init_ptr", "virtual memory, io_uring_mmap"];
        assert_eq!(objects.0, kinds.map(|kind| (kind.to_owned(), 1)).into());
    }
}
