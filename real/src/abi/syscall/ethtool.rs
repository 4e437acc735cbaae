//! Flow rules of a network interface (`SIOCETHTOOL`, `include/uapi/linux/ethtool.h`).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_SRXCLSRLDEL: u32 = 0x31;
const ETHTOOL_SRXCLSRLINS: u32 = 0x32;
/// `TCP_V4_FLOW`.
const TCP_V4_FLOW: u32 = 1;

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

fn call(interface: &str, argument: &mut RxNfc) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // SAFETY: all zeroes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = std::ptr::from_mut(argument).cast();
    // SAFETY: the kernel reads and writes one `ethtool_rxnfc` at `ifr_data`; no rule list follows it, because
    // these commands have none.
    if unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

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
    }
}
