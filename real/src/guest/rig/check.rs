//! What a rig has and what is missing, with the command that would help.

use crate::abi::ethtool::{Ethtool, TCP_DATA_SPLIT_ENABLED};
use crate::abi::netdev::Netdev;
use crate::abi::netlink;
use crate::abi::syscall::{ethtool, net};
use crate::kernels::probe::Probe;
use crate::kernels::series::compared_with;
use crate::live::probe::probe;
use crate::rig::Rig;
use crate::rig::agent::{Item, Status};
use crate::rig::refusal::{has_queue_api, refusal, refusal_of_peer};

/// Locked memory that tests need.
const MEMLOCK: u64 = 64 << 20;

/// Checks a rig, and says each line at once. It changes nothing.
pub(super) fn check(rig: &Rig, say: &mut dyn FnMut(Item)) {
    let name = &rig.nic.interface;
    kernel(&probe(), say);
    memory(say);
    if let Some(complaint) = refusal(rig) {
        let what = format!("the rig file, {}", complaint.field.name());
        say(missing(&what, complaint.problem, complaint.help));
    } else {
        say(there("the rig file", "its interfaces and queues are there and free"));
    }
    let Ok(link) = netlink::link(name) else { return };
    match net::driver_name(name) {
        Ok(driver) => say(there("driver", driver)),
        Err(error) => say(unknown("driver", error.to_string(), None)),
    }
    say(queue_api(name, link.index));
    say(header_split(name));
    say(flow_rules(name));
    say(rss(rig));
    say(page_pools(link.index));
    say(counters(link.index, rig.nic.queues.first().copied().unwrap_or(0)));
}

/// Checks the peer of a rig, on its own host.
pub(super) fn peer(rig: &Rig, say: &mut dyn FnMut(Item)) {
    match refusal_of_peer(rig) {
        Some(complaint) => {
            let what = format!("the rig file, {}", complaint.field.name());
            say(missing(&what, complaint.problem, complaint.help));
        }
        None => say(there("the peer's host", "its interface is there and free")),
    }
}

fn item(what: &str, status: Status, found: impl Into<String>, help: Option<String>) -> Item {
    Item { what: what.to_owned(), status, found: found.into(), help }
}

fn there(what: &str, found: impl Into<String>) -> Item {
    item(what, Status::There, found, None)
}

fn missing(what: &str, found: impl Into<String>, help: impl Into<String>) -> Item {
    item(what, Status::Missing, found, Some(help.into()))
}

fn unknown(what: &str, found: impl Into<String>, help: Option<String>) -> Item {
    item(what, Status::Unknown, found, help)
}

fn kernel(probe: &Probe, say: &mut dyn FnMut(Item)) {
    let release = &probe.kernel;
    let install = "install a kernel 6.19 or later with CONFIG_IO_URING_ZCRX=y, and boot it";
    match compared_with(release) {
        Some(revision) => say(there("kernel", format!("{release}, compared with {revision}"))),
        None => say(missing("kernel", format!("{release}: no revision has its code"), install)),
    }
    let zcrx = match (probe.ring, probe.register_ops) {
        (Some(ring), _) if ring < 0 => {
            let enable = "sysctl kernel.io_uring_disabled=0";
            missing("io_uring", format!("no ring can be made: {ring}"), enable)
        }
        (None, _) => missing("io_uring", "the kernel has none", install),
        _ => there("io_uring", "rings for zcrx can be made"),
    };
    say(zcrx);
    say(match probe.cap_net_admin {
        Some(true) => there("CAP_NET_ADMIN", "yes"),
        _ => missing("CAP_NET_ADMIN", "no", "log in as root on the rig (machine.host)"),
    });
}

fn memory(say: &mut dyn FnMut(Item)) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    let enough = limit.is_none_or(|limit| limit >= MEMLOCK);
    let found = limit.map_or("unlimited".to_owned(), |limit| format!("{} KiB", limit / 1024));
    let root = rustix::process::geteuid().is_root();
    say(match (enough, root) {
        (true, _) => there("RLIMIT_MEMLOCK", found),
        (false, true) => there("RLIMIT_MEMLOCK", format!("{found}, which does not bind root")),
        (false, false) => {
            missing("RLIMIT_MEMLOCK", found, "ulimit -l unlimited, in /etc/security/limits.conf")
        }
    });
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let pages = meminfo.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    let pages: u64 = pages.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let help = "sysctl vm.nr_hugepages=16";
    say(match pages {
        0 => item(
            "huge pages",
            Status::Optional,
            "none is free; tests use small pages",
            Some(help.into()),
        ),
        pages => there("huge pages", format!("{pages} are free")),
    });
}

fn queue_api(name: &str, index: u32) -> Item {
    const WHAT: &str = "queue API";
    match has_queue_api(index) {
        Ok(true) => there(WHAT, "the driver has it; a registration shows whether for each queue"),
        Ok(false) => {
            let found = format!("the driver of {name} has no queue_mgmt_ops");
            missing(WHAT, found, "use a NIC and a kernel of the table in docs/RIGS.md")
        }
        Err(why) => unknown(WHAT, why, None),
    }
}

fn header_split(name: &str) -> Item {
    const WHAT: &str = "header split";
    match Ethtool::of(name).and_then(|settings| settings.rings()) {
        Ok(rings) => match rings.tcp_data_split {
            Some(TCP_DATA_SPLIT_ENABLED) => there(WHAT, "on"),
            Some(_) => {
                let help = format!("ethtool -G {name} tcp-data-split on");
                item(WHAT, Status::Optional, "off; the set-up switches it on", Some(help))
            }
            None => missing(WHAT, "the driver has none", "use a NIC of the table in docs/RIGS.md"),
        },
        Err(error) => unknown(WHAT, error.to_string(), Some(format!("ethtool -g {name}"))),
    }
}

fn flow_rules(name: &str) -> Item {
    const WHAT: &str = "flow rules";
    match ethtool::rules(name) {
        Ok(Some(rules)) => there(WHAT, format!("the driver has them; {} are set", rules.len())),
        Ok(None) => {
            let help =
                format!("ethtool -K {name} ntuple on; else use a NIC of the table in docs/RIGS.md");
            missing(WHAT, "the driver has none", help)
        }
        Err(error) => unknown(WHAT, error.to_string(), Some(format!("ethtool -n {name}"))),
    }
}

fn rss(rig: &Rig) -> Item {
    const WHAT: &str = "receive side scaling";
    let name = &rig.nic.interface;
    match Ethtool::of(name).and_then(|settings| settings.rss()) {
        Ok(rss) if rss.table.is_empty() => {
            there(WHAT, "none: packets without a rule go to the driver's queue for them")
        }
        Ok(rss) if rss.table.iter().any(|queue| rig.nic.queues.contains(queue)) => item(
            WHAT,
            Status::Optional,
            "packets go to test queues; the set-up keeps them away",
            Some(format!("ethtool -X {name} equal {}", rig.nic.queues.iter().min().unwrap_or(&1))),
        ),
        Ok(_) => there(WHAT, "away from the test queues"),
        Err(error) => unknown(WHAT, error.to_string(), Some(format!("ethtool -x {name}"))),
    }
}

fn page_pools(index: u32) -> Item {
    const WHAT: &str = "page pools";
    match Netdev::open().and_then(|netdev| netdev.page_pools(index)) {
        Ok(pools) if pools.of_io_uring > 0 => there(
            WHAT,
            format!("{}, of them {} with memory of an ifq", pools.all, pools.of_io_uring),
        ),
        Ok(pools) if pools.all > 0 => there(WHAT, format!("{}", pools.all)),
        Ok(_) => unknown(WHAT, "none now", Some("bring the interface up, and check again".into())),
        Err(error) => unknown(
            WHAT,
            format!("the kernel does not list them ({error})"),
            Some("a kernel with CONFIG_PAGE_POOL_STATS=y lists them".into()),
        ),
    }
}

fn counters(index: u32, queue: u32) -> Item {
    const WHAT: &str = "counters of queues";
    match Netdev::open().and_then(|netdev| netdev.rx_packets(index, queue)) {
        Ok(Some(packets)) => there(WHAT, format!("queue {queue} has received {packets} packets")),
        Ok(None) => item(
            WHAT,
            Status::Optional,
            "the driver has none; a packet socket shows where packets go",
            None,
        ),
        Err(error) => unknown(WHAT, error.to_string(), None),
    }
}
