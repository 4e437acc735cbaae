//! Network interfaces, by `ioctl(2)`.

use std::io;
use std::os::fd::AsRawFd;

use socket2::Socket;

/// A socket to ask through, and a request about an interface.
fn request(name: &str) -> io::Result<(Socket, libc::ifreq)> {
    let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    // SAFETY: all zeroes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    Ok((socket, request))
}

/// Switches an interface on: `SIOCSIFFLAGS` with `IFF_UP`.
///
/// # Errors
///
/// Those of `socket(2)` and `ioctl(2)`.
pub fn interface_up(name: &str) -> io::Result<()> {
    let (socket, mut request) = request(name)?;
    // SAFETY: the kernel reads and writes one `ifreq`.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `SIOCGIFFLAGS` has filled this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as libc::c_short;
    // SAFETY: the kernel reads one `ifreq`.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// `struct ethtool_drvinfo` of `include/uapi/linux/ethtool.h`.
#[repr(C)]
struct DriverInfo {
    cmd: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// `ETHTOOL_GDRVINFO` of `include/uapi/linux/ethtool.h`.
const ETHTOOL_GDRVINFO: u32 = 3;

/// The name of an interface's driver, which ethtool reports.
///
/// # Errors
///
/// Those of `socket(2)` and `ioctl(2)`: `ENODEV` for an interface that does not exist.
pub fn driver_name(name: &str) -> io::Result<String> {
    let (socket, mut request) = request(name)?;
    let mut info = DriverInfo { cmd: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 160] };
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    // SAFETY: the kernel reads one `ifreq`, and writes one `ethtool_drvinfo`, which `info` is.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let driver = info.driver.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(driver).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_of_ethtool_is_as_large_as_the_kernels() {
        assert_eq!(size_of::<DriverInfo>(), 196);
        let error = driver_name("no-such-nic").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
