//! Flow rules of a network interface (`SIOCETHTOOL`, `include/uapi/linux/ethtool.h`).
#![allow(unsafe_code)]

use std::io;
use std::mem::{offset_of, size_of};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_GRXCLSRLCNT: u32 = 0x2e;
const ETHTOOL_GRXCLSRULE: u32 = 0x2f;
const ETHTOOL_GRXCLSRLALL: u32 = 0x30;
const ETHTOOL_SRXFHINDIR: u32 = 0x39;
const ETHTOOL_SRXCLSRLDEL: u32 = 0x31;
const ETHTOOL_SRXCLSRLINS: u32 = 0x32;
/// `TCP_V4_FLOW`.
const TCP_V4_FLOW: u32 = 1;
/// In the answer to `ETHTOOL_GRXCLSRLCNT`: the driver chooses locations.
const RX_CLS_LOC_SPECIAL: u64 = 0x8000_0000;
/// The driver chooses the location.
const RX_CLS_LOC_ANY: u32 = 0xffff_ffff;
/// Where the list of locations begins.
const LOCATIONS: usize = offset_of!(RxNfc, rule_cnt) + 4;

/// A flow rule of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its place in the table.
    pub location: u32,
    /// The queue that it names, or an action.
    pub queue: u64,
    /// The destination port, if it is about TCP over IPv4 and names one.
    pub port: Option<u16>,
    /// All that the driver says about it.
    pub bytes: Vec<u8>,
}

/// `struct ethtool_rx_flow_spec` with `struct ethtool_tcpip4_spec` in its unions.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct FlowSpec {
    flow_type: u32,
    value: Tcp4Spec,
    value_ext: [u8; 20],
    mask: Tcp4Spec,
    mask_ext: [u8; 20],
    ring_cookie: u64,
    location: u32,
}

/// `struct ethtool_tcpip4_spec`, padded to `union ethtool_flow_union`. All in network byte order.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Tcp4Spec {
    source: [u8; 4],
    destination: [u8; 4],
    source_port: [u8; 2],
    destination_port: [u8; 2],
    rest: [[u8; 8]; 5],
}

/// `struct ethtool_rxnfc`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RxNfc {
    cmd: u32,
    flow_type: u32,
    data: u64,
    spec: FlowSpec,
    rule_cnt: u32,
}

/// Inserts the rule `location`: TCP segments over IPv4 to a port go to a queue. It replaces a rule that is there.
///
/// # Errors
///
/// Those of `ioctl(2)`: `ENODEV`, `EPERM`, `EOPNOTSUPP`, `EINVAL` for a queue that the interface does not have.
pub fn steer_port(interface: &str, location: u32, port: u16, queue: u32) -> io::Result<()> {
    let mut rule = RxNfc { cmd: ETHTOOL_SRXCLSRLINS, ..RxNfc::default() };
    rule.spec.flow_type = TCP_V4_FLOW;
    rule.spec.value.destination_port = port.to_be_bytes();
    rule.spec.mask.destination_port = [0xff; 2];
    rule.spec.ring_cookie = queue.into();
    rule.spec.location = location;
    call(interface, &mut rule)
}

/// Deletes the rule `location`.
///
/// # Errors
///
/// Those of `ioctl(2)`: `ENOENT` if there is none.
pub fn delete_rule(interface: &str, location: u32) -> io::Result<()> {
    let mut rule = RxNfc { cmd: ETHTOOL_SRXCLSRLDEL, ..RxNfc::default() };
    rule.spec.location = location;
    call(interface, &mut rule)
}

/// The flow rules of an interface. `None`: the driver has none.
///
/// # Errors
///
/// Those of `ioctl(2)`: `ENODEV`.
pub fn rules(interface: &str) -> io::Result<Option<Vec<Rule>>> {
    let mut count = RxNfc { cmd: ETHTOOL_GRXCLSRLCNT, ..RxNfc::default() };
    match call(interface, &mut count) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(None),
        Err(error) => return Err(error),
        Ok(()) => {}
    }
    let wanted = count.rule_cnt as usize;
    let mut list = vec![0u64; (LOCATIONS + 4 * wanted).div_ceil(8).max(size_of::<RxNfc>() / 8)];
    set_word(&mut list, 0, ETHTOOL_GRXCLSRLALL);
    set_word(&mut list, offset_of!(RxNfc, rule_cnt), count.rule_cnt);
    if wanted > 0 {
        call_list(interface, &mut list)?;
    }
    let found = (word(&list, offset_of!(RxNfc, rule_cnt)) as usize).min(wanted);
    let locations = (0..found).map(|at| word(&list, LOCATIONS + 4 * at));
    let mut rules = Vec::new();
    for location in locations {
        let mut rule = RxNfc { cmd: ETHTOOL_GRXCLSRULE, ..RxNfc::default() };
        rule.spec.location = location;
        match call(interface, &mut rule) {
            Ok(()) => rules.push(Rule::of(location, &rule.spec)),
            // It was deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    rules.sort_by_key(|rule| rule.location);
    Ok(Some(rules))
}

impl Rule {
    fn of(location: u32, spec: &FlowSpec) -> Self {
        let FlowSpec { value, mask, .. } = spec;
        let named = spec.flow_type == TCP_V4_FLOW && mask.destination_port == [0xff; 2];
        let spec_bytes = [value, mask].into_iter().flat_map(|part| {
            let fixed = [part.source, part.destination].concat();
            let ports = [part.source_port, part.destination_port].concat();
            [fixed, ports, part.rest.concat()].concat()
        });
        let bytes = spec.flow_type.to_ne_bytes().into_iter().chain(spec_bytes);
        Rule {
            location,
            queue: spec.ring_cookie,
            port: named.then(|| u16::from_be_bytes(value.destination_port)),
            bytes: bytes.chain(spec.value_ext).chain(spec.mask_ext).collect(),
        }
    }
}

/// Inserts a rule at a free location: TCP segments over IPv4 to an address and port go to a queue. A driver that
/// cannot match the address gets a rule about the port. The location.
///
/// # Errors
///
/// Those of `ioctl(2)`: `EOPNOTSUPP` if the driver has no rules, `ENOSPC` if there is no free location.
pub fn insert_rule(interface: &str, to: Ipv4Addr, port: u16, queue: u32) -> io::Result<u32> {
    let mut count = RxNfc { cmd: ETHTOOL_GRXCLSRLCNT, ..RxNfc::default() };
    call(interface, &mut count)?;
    let mut locations = vec![RX_CLS_LOC_ANY];
    if count.data & RX_CLS_LOC_SPECIAL == 0 {
        // Some drivers want a location, and some choose one without saying that they do.
        let used: Vec<u32> =
            rules(interface)?.unwrap_or_default().iter().map(|rule| rule.location).collect();
        let size = u32::try_from(count.data).unwrap_or(0).max(used.len() as u32 + 1);
        locations.splice(..0, (0..size).rev().find(|location| !used.contains(location)));
    }
    let mut last = io::Error::from_raw_os_error(libc::ENOSPC);
    for location in locations {
        for address in [Some(to), None] {
            let mut rule = RxNfc { cmd: ETHTOOL_SRXCLSRLINS, ..RxNfc::default() };
            rule.spec = FlowSpec::to_port(address, port, queue, location);
            match call(interface, &mut rule) {
                Ok(()) => return Ok(rule.spec.location),
                Err(error) => last = error,
            }
            if !matches!(last.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) {
                return Err(last);
            }
        }
    }
    Err(last)
}

impl FlowSpec {
    fn to_port(address: Option<Ipv4Addr>, port: u16, queue: u32, location: u32) -> Self {
        let mut spec = FlowSpec {
            flow_type: TCP_V4_FLOW,
            ring_cookie: queue.into(),
            location,
            ..FlowSpec::default()
        };
        spec.value.destination_port = port.to_be_bytes();
        spec.mask.destination_port = [0xff; 2];
        if let Some(address) = address {
            spec.value.destination = address.octets();
            spec.mask.destination = [0xff; 4];
        }
        spec
    }
}

/// Sets the queue for each hash value of receive side scaling. `None`: the driver's default.
///
/// # Errors
///
/// Those of `ioctl(2)`: `EOPNOTSUPP`, `EINVAL` for a table of another size.
pub fn set_rss_table(interface: &str, table: Option<&[u32]>) -> io::Result<()> {
    let table = table.unwrap_or_default();
    let mut bytes = vec![0u64; (8 + 4 * table.len()).div_ceil(8)];
    set_word(&mut bytes, 0, ETHTOOL_SRXFHINDIR);
    set_word(&mut bytes, 4, table.len() as u32);
    for (at, queue) in table.iter().enumerate() {
        set_word(&mut bytes, 8 + 4 * at, *queue);
    }
    call_list(interface, &mut bytes)
}

/// The 32-bit word at an offset in bytes, a multiple of 4.
fn word(words: &[u64], at: usize) -> u32 {
    let bytes = words[at / 8].to_ne_bytes();
    let at = at % 8;
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn set_word(words: &mut [u64], at: usize, value: u32) {
    let mut bytes = words[at / 8].to_ne_bytes();
    bytes[at % 8..at % 8 + 4].copy_from_slice(&value.to_ne_bytes());
    words[at / 8] = u64::from_ne_bytes(bytes);
}

fn call(interface: &str, argument: &mut RxNfc) -> io::Result<()> {
    // SAFETY: the kernel reads and writes one `ethtool_rxnfc`; no rule list follows it, because these
    // commands have none.
    unsafe { ioctl(interface, std::ptr::from_mut(argument).cast()) }
}

/// A command with a list at its end, which the buffer has room for.
fn call_list(interface: &str, argument: &mut [u64]) -> io::Result<()> {
    // SAFETY: `rules` makes the buffer as long as an `ethtool_rxnfc` with `rule_cnt` locations, and
    // `set_rss_table` as long as an `ethtool_rxfh_indir` with `size` entries; the kernel uses no more.
    unsafe { ioctl(interface, argument.as_mut_ptr().cast()) }
}

/// # Safety
///
/// The argument points to the structure of its command, with the list that the structure counts.
unsafe fn ioctl(interface: &str, argument: *mut libc::c_char) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // SAFETY: all zeroes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = argument;
    // SAFETY: as the caller promises.
    if unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_the_uapi_header() {
        assert_eq!(size_of::<Tcp4Spec>(), 52, "union ethtool_flow_union");
        assert_eq!(size_of::<FlowSpec>(), 168);
        assert_eq!(offset_of!(FlowSpec, mask), 76);
        assert_eq!(offset_of!(FlowSpec, ring_cookie), 152);
        assert_eq!(offset_of!(FlowSpec, location), 160);
        assert_eq!(size_of::<RxNfc>(), 192);
        assert_eq!(offset_of!(RxNfc, spec), 16);
        assert_eq!(offset_of!(RxNfc, rule_cnt), 184);
    }

    #[test]
    fn a_rule_for_an_interface_that_does_not_exist_is_refused() {
        let error = steer_port("no-such-if", 0, 1, 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        assert!(delete_rule("no-such-if", 0).is_err());
        assert!(rules("no-such-if").is_err());
        assert!(insert_rule("no-such-if", Ipv4Addr::LOCALHOST, 1, 0).is_err());
        assert!(set_rss_table("no-such-if", None).is_err());
    }

    #[test]
    fn an_interface_without_flow_rules_has_no_list() {
        assert_eq!(rules("lo").unwrap(), None);
        assert_eq!(LOCATIONS, 188, "rule_locs of struct ethtool_rxnfc");
    }
}
