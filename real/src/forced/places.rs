//! From a place in the model's words to addresses in a kernel.

use ifq_model::test::schedule::{AccessKind, CodePlace, Position};

use super::code::{Site, What};
use super::guest::Guest;

/// How a model function and an access of it are found in a kernel.
struct Row {
    /// The function of the model.
    function: &'static str,
    kind: AccessKind,
    /// The object of the access; empty: any.
    object: &'static str,
    /// The functions of the kernel that may contain it, the first one that exists counts: a compiler inlines
    /// functions into their callers.
    within: &'static [&'static str],
    /// What is called there; empty: an atomic instruction is executed.
    calls: &'static [&'static str],
    /// Functions that it calls, whose places belong to it, too: the model has one function for all of them.
    also: &'static [&'static str],
    /// The verb of the steps in which it counts. `None`: in all.
    verb: Option<&'static str>,
}

/// The addresses of a place in a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) addresses: Vec<u64>,
    /// The verb of the steps in which they count. `None`: in all.
    pub(super) verb: Option<&'static str>,
}

impl From<Vec<u64>> for Addresses {
    fn from(addresses: Vec<u64>) -> Self {
        Addresses { addresses, verb: None }
    }
}

const LOCK: &[&str] = &["mutex_lock", "mutex_lock_killable", "mutex_lock_interruptible"];
const SPIN: &[&str] = &["_raw_spin_lock_bh", "_raw_spin_lock", "_raw_spin_lock_irqsave"];
const WAIT: &[&str] = &["wait_for_completion_interruptible_timeout"];

/// The table.
const ROWS: &[Row] = &[
    row("io_ring_exit_work", AccessKind::Wait, "events", &["io_ring_exit_work"], WAIT),
    row(
        "import_zcrx",
        AccessKind::Load,
        "fd",
        &["import_zcrx", "io_register_zcrx"],
        &["fget", "fdget"],
    ),
    row(
        "io_uring_register",
        AccessKind::Lock,
        "uring_lock",
        &["__x64_sys_io_uring_register", "__do_sys_io_uring_register"],
        LOCK,
    ),
    row("io_register_zcrx", AccessKind::Lock, "mmap_lock", &["io_register_zcrx"], LOCK),
    row("import_zcrx", AccessKind::Lock, "mmap_lock", &["import_zcrx", "io_register_zcrx"], LOCK),
    row(
        "io_zcrx_tcp_recvmsg",
        AccessKind::Lock,
        "sk_lock",
        &["io_zcrx_tcp_recvmsg", "io_zcrx_recv"],
        &["lock_sock_nested"],
    ),
    row("io_close_queue", AccessKind::Lock, "pp_lock", &["io_close_queue"], LOCK),
    // The second one may be in the function that it calls.
    row(
        "io_pp_uninstall",
        AccessKind::Lock,
        "pp_lock",
        &["io_pp_uninstall"],
        &["mutex_lock", "io_zcrx_drop_netdev", "io_zcrx_unmap_area"],
    ),
    row("io_zcrx_scrub", AccessKind::Lock, "pp_lock", &["io_zcrx_scrub"], LOCK),
    row("io_terminate_zcrx", AccessKind::Lock, "mmap_lock", &["io_terminate_zcrx"], LOCK),
    row("io_unregister_zcrx", AccessKind::Lock, "mmap_lock", &["io_unregister_zcrx"], LOCK),
    row(
        "zcrx_unregister_user",
        AccessKind::Dec,
        "user_refs",
        &["zcrx_unregister_user", "io_terminate_zcrx"],
        &[],
    ),
    row(
        "zcrx_unregister_user",
        AccessKind::Lock,
        "ctx_lock",
        &["zcrx_unregister_user", "io_terminate_zcrx"],
        SPIN,
    ),
    // The list is taken as a whole by an exchange.
    row("io_run_local_work", AccessKind::Lock, "work_list", &["__io_run_local_work"], &[]),
    row(
        "io_alloc_fallback_niov",
        AccessKind::Lock,
        "alloc_lock",
        &["io_alloc_fallback_niov"],
        SPIN,
    ),
    row(
        "io_arm_poll_handler",
        AccessKind::Lock,
        "sk_wq",
        &["__io_queue_proc", "io_async_queue_proc"],
        &["add_wait_queue", "add_wait_queue_exclusive"],
    ),
    row(
        "io_zcrx_ring_refill",
        AccessKind::Dec,
        "niov.user_refs",
        &["io_zcrx_ring_refill", "io_pp_zc_alloc_netmems"],
        &[],
    ),
    Row {
        also: &["io_zcrx_drop_netdev", "io_zcrx_unmap_area"],
        ..row("io_pp_uninstall", AccessKind::Lock, "pp_lock", &["io_pp_uninstall"], LOCK)
    },
    // It takes the device down as well.
    Row {
        verb: Some("netdev-up"),
        ..row("__dev_open", AccessKind::Lock, "netdev_lock", &["do_setlink"], LOCK)
    },
    // Its first atomic instruction adds to the list.
    row(
        "io_req_local_work_add",
        AccessKind::Lock,
        "work_list",
        &["io_req_local_work_add", "__io_req_task_work_add"],
        &[],
    ),
    row("zcrx_send_notif", AccessKind::Lock, "ctx_lock", &["zcrx_send_notif"], SPIN),
    row("zcrx_arm_notif", AccessKind::Lock, "ctx_lock", &["zcrx_arm_notif", "zcrx_ctrl"], SPIN),
];

const fn row(
    function: &'static str,
    kind: AccessKind,
    object: &'static str,
    within: &'static [&'static str],
    calls: &'static [&'static str],
) -> Row {
    Row { function, kind, object, within, calls, also: &[], verb: None }
}

/// Where `io_ring_exit_work` waits for the last reference to its ring.
///
/// # Errors
///
/// A message for the user: why it is not known.
pub(super) fn exit_wait(guest: &mut Guest) -> Result<Addresses, String> {
    let function = guest.symbols.function("io_ring_exit_work")?;
    let waits: Vec<u64> = WAIT.iter().filter_map(|name| guest.symbols.address(name)).collect();
    let calls = |what| matches!(what, What::Call { target, .. } if waits.contains(&target));
    let sites = guest.sites(function)?;
    let site = sites.iter().find(|site| calls(site.what));
    let address = site.map(|site| Addresses::from(vec![site.at]));
    address.ok_or_else(|| format!("io_ring_exit_work does not call {}", WAIT[0]))
}

/// The addresses of a place in a kernel: a thread that does the access passes one of them. The place is in the table, or
/// it is the only one of its kind in its function.
///
/// All calls of the same function, or all atomic instructions, of a kernel function count: which of them a thread
/// passes first, second and so on, the schedule says as it does for the model.
///
/// # Errors
///
/// A message for the user: why they are not known.
pub(super) fn addresses(guest: &mut Guest, place: &CodePlace) -> Result<Addresses, String> {
    let name = place.function.as_deref().ok_or("a place in any function is not known")?;
    let Some(access) = &place.access else {
        return match place.position {
            Position::Enter => guest.symbols.function(name).map(|address| vec![address].into()),
            other => Err(format!("`{}` of a function is not known", other.name())),
        };
    };
    let object = access.object.name.as_str();
    let what = format!("{}({object})", access.kind.name());
    let fits = |row: &&Row| {
        row.function == name
            && row.kind == access.kind
            && (row.object.is_empty() || row.object == object)
    };
    let row = ROWS.iter().find(fits);
    let calls = match row {
        Some(row) => row.calls.to_vec(),
        None => calls_of(access.kind).ok_or_else(|| {
            format!("where {name} has `{what}` is not known; known is {}", known(name))
        })?,
    };
    let within = row.map_or(&[][..], |row| row.within);
    let function = within.iter().find_map(|name| guest.symbols.address(name));
    let function = match function {
        Some(function) => function,
        None => guest.symbols.function(name)?,
    };
    let called: Vec<u64> = calls.iter().filter_map(|name| guest.symbols.address(name)).collect();
    let mut sites = guest.sites(function)?;
    for name in row.map_or(&[][..], |row| row.also) {
        if let Some(function) = guest.symbols.address(name) {
            sites.extend(guest.sites(function)?);
        }
    }
    sites.retain(|site| match site.what {
        What::Call { target, .. } => called.contains(&target),
        What::Atomic { .. } => calls.is_empty(),
    });
    if sites.is_empty() {
        let (within, calls) = (guest.symbols.name(function), calls.join(", "));
        return Err(match calls.as_str() {
            "" => format!("{within} has no atomic instruction"),
            _ => format!("{within} does not call {calls}"),
        });
    }
    if let (None, 2..) = (row, sites.len()) {
        return Err(format!(
            "where {name} has `{what}` is not known: the kernel's has {} places of this kind; known is {}",
            sites.len(),
            known(name)
        ));
    }
    let address = |site: &Site| match (place.position, site.what) {
        (Position::Before, _) => Ok(site.at),
        (Position::After, What::Call { tail: true, .. }) => {
            Err(format!("{name} ends with `{what}`"))
        }
        (Position::After, _) => Ok(site.next),
        (other, _) => Err(format!("`{}` of an access is not known", other.name())),
    };
    let addresses: Result<Vec<u64>, String> = sites.iter().map(address).collect();
    Ok(Addresses { addresses: addresses?, verb: row.and_then(|row| row.verb) })
}

/// The functions that are called for a kind of access; empty: it is an atomic instruction. `None`: it is an ordinary
/// instruction, which cannot be told from others.
fn calls_of(kind: AccessKind) -> Option<Vec<&'static str>> {
    Some(match kind {
        AccessKind::Lock => [LOCK, SPIN].concat(),
        AccessKind::Inc
        | AccessKind::Dec
        | AccessKind::IncUnless
        | AccessKind::Xchg
        | AccessKind::CmpXchg
        | AccessKind::Or
        | AccessKind::And => Vec::new(),
        _ => return None,
    })
}

/// The places of a function that are known.
fn known(function: &str) -> String {
    let of = |row: &Row| format!("`{}({})`", row.kind.name(), row.object);
    let known: Vec<String> = ROWS.iter().filter(|row| row.function == function).map(of).collect();
    if known.is_empty() { "no place of it".to_owned() } else { known.join(", ") }
}
