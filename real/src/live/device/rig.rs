//! The NIC of a hardware rig, which is set up: its peer is an interface in a namespace of its own, and sends
//! ordinary TCP.

use std::io;
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ifq_model::test::Test;
use socket2::SockRef;

use super::arrivals::Arrivals;
use super::far_host::FarHost;
use super::interface::{Connected, Device, Far};
use super::new_connection::NewConnection;
use super::tap::Tap;
use super::watch::Watch;
use crate::abi::netlink;
use crate::abi::syscall::namespace;
use crate::job::DevicePackets;
use crate::kernels::supported::Equipment;
use crate::rig::Rig;

/// Headers of IPv4 and TCP, with time stamps.
const HEADERS: u32 = 52;
/// Longest time until the queues are unbound after a run.
const UNBOUND: Duration = Duration::from_secs(30);
/// Time in which the background work of a ring's exit ends unless something holds it.
const BACKGROUND: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(1);
/// Longest time of a handshake: a neighbour is found in it.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The NIC of a rig.
#[derive(Debug)]
pub(super) struct RigNic {
    rig: Rig,
    index: u32,
    segment: u32,
    /// A queue of a test each.
    listeners: Vec<TcpListener>,
    /// The peer's host, if the peer is not on this one.
    far: Option<Arc<FarHost>>,
    tap: Arc<Tap>,
}

impl RigNic {
    /// Listens at the port of each queue.
    pub(super) fn open(rig: &Rig) -> Result<Self, String> {
        let name = &rig.nic.interface;
        let context = |error: io::Error| format!("the interface {name}: {error}");
        let link = netlink::link(name).map_err(context)?;
        let (far, peer_mtu) = match rig.peer.elsewhere {
            true => {
                let far = meet(rig)?;
                let mtu = far.mtu;
                (Some(Arc::new(far)), mtu)
            }
            false => {
                let peer = &rig.peer;
                let link = namespace::inside(&peer.namespace, || netlink::link(&peer.interface));
                let link =
                    link.map_err(|error| format!("the interface {}: {error}", peer.interface))?;
                (None, link.mtu)
            }
        };
        let listen = |at: usize| {
            let address = SocketAddrV4::new(rig.nic.address, rig.port_of(at as u32));
            let bound = TcpListener::bind(address);
            bound.map_err(|error| format!("listening at {address}: {error}"))
        };
        let listeners: Result<_, String> = (0..rig.nic.queues.len()).map(listen).collect();
        let nic = RigNic {
            rig: rig.clone(),
            index: link.index,
            far,
            segment: link.mtu.min(peer_mtu).saturating_sub(HEADERS),
            listeners: listeners?,
            tap: Arc::new(Tap::new(rig, link.index)),
        };
        Ok(nic)
    }

    fn queues(&self, of_test: u32) -> impl Iterator<Item = u32> {
        self.rig.nic.queues.iter().copied().take(of_test as usize)
    }
}

/// Waits for the peer's host.
fn meet(rig: &Rig) -> Result<FarHost, String> {
    let address = SocketAddrV4::new(rig.nic.address, rig.control_port());
    let met = TcpListener::bind(address).and_then(|at| FarHost::meet(&at, rig.peer.address));
    met.map_err(|error| format!("the peer's host, at {address}: {error}"))
}

impl Device for RigNic {
    fn equipment(&self) -> Equipment {
        Equipment {
            queues: self.listeners.len() as u32,
            segment: Some(self.segment),
            ..Equipment::default()
        }
    }

    fn prepare(&self, test: &Test) -> Result<(), String> {
        self.wait_until_unbound(test.queues)
    }

    fn wait_until_unbound(&self, queues: u32) -> Result<(), String> {
        let start = Instant::now();
        for queue in self.queues(queues) {
            while self.tap.is_bound(queue).map_err(|error| format!("queue {queue}: {error}"))? {
                if start.elapsed() > UNBOUND {
                    return Err(format!(
                        "queue {queue} of {} is still bound {} s after all rings were closed",
                        self.rig.nic.interface,
                        UNBOUND.as_secs()
                    ));
                }
                std::thread::sleep(POLL);
            }
        }
        Ok(())
    }

    fn settle(&self, queues: u32) {
        let start = Instant::now();
        let bound = || self.queues(queues).any(|queue| self.tap.is_bound(queue).unwrap_or(false));
        while bound() && start.elapsed() < BACKGROUND {
            std::thread::sleep(POLL);
        }
    }

    fn index(&self) -> u32 {
        self.index
    }

    fn queue_of(&self, test: &Test, queue: u32) -> u32 {
        let own = if queue < test.queues { self.rig.nic.queues.get(queue as usize) } else { None };
        // No interface has so many queues.
        own.copied().unwrap_or(u32::from(u16::MAX))
    }

    fn set_running(&self, _: bool) -> i64 {
        -i64::from(libc::EOPNOTSUPP)
    }

    fn unregister(&self) -> i64 {
        -i64::from(libc::EOPNOTSUPP)
    }

    fn restart(&self, _: u32) -> i64 {
        -i64::from(libc::EOPNOTSUPP)
    }

    fn fail_allocation(&self, _: u32, _: bool) -> Result<(), String> {
        Err("no operation of a NIC on a hardware rig fails because a test wants it".to_owned())
    }

    fn end_failures(&self) -> Result<(), String> {
        match &self.far {
            Some(far) if far.is_lost() => {
                Err("the connection to the peer's host was lost".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn take_packets(&self) -> Option<DevicePackets> {
        Some(self.tap.with_arrivals(Arrivals::take))
    }

    fn connect(self: Arc<Self>, wanted: NewConnection) -> Result<Connected, String> {
        let listener = self.listeners.get(wanted.queue as usize);
        let listener = listener.ok_or_else(|| format!("the rig has no queue {}", wanted.queue))?;
        let context = |error: io::Error| format!("a TCP connection over the rig: {error}");
        // Set before the handshake, so that the window can grow to it. Without the privilege for this size
        // the default is enough for most tests.
        let _ = SockRef::from(listener).set_recv_buffer_size(wanted.receive_buffer);
        let address = listener.local_addr().map_err(context)?;
        let queue = self.rig.nic.queues[wanted.queue as usize];
        let watch = |port| Watch::new(&self.tap, queue, (port, address.port()));
        let (far, port) = match &self.far {
            Some(host) => {
                let near = SocketAddrV4::new(self.rig.nic.address, address.port());
                let (far, port) = host.connect(near).map_err(context)?;
                (Far::OnHost(far, watch(port)), port)
            }
            None => {
                let far = namespace::inside(&self.rig.peer.namespace, || {
                    TcpStream::connect_timeout(&address, HANDSHAKE)
                });
                let far = far.map_err(context)?;
                let port = far.local_addr().map_err(context)?.port();
                (Far::Socket(far, watch(port)), port)
            }
        };
        let (near, from) = listener.accept().map_err(context)?;
        if from != SocketAddrV4::new(self.rig.peer.address, port).into() {
            return Err(format!("{from}, which is not the peer, has connected to the rig"));
        }
        Ok(Connected { far, near })
    }
}
