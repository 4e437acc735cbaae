//! The program on the host of a rig's peer: its sockets are the far ends of the connections.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddrV4, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::SockRef;

use super::lifeline::Lifeline;
use crate::abi::netlink;
use crate::abi::syscall;
use crate::abi::syscall::namespace;
use crate::rig::Rig;
use crate::rig::far_end::{Done, Hello, Order, failed};

/// Longest time of a handshake: a neighbour is found in it.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest time that a write may need.
const WRITE: Duration = Duration::from_secs(2);
/// Time between two looks at the lifeline.
const LOOK: Duration = Duration::from_millis(200);

/// Serves one program on the rig after the other, until the tool is gone.
pub(super) fn serve(lifeline: &Lifeline, rig: &Rig) -> io::Result<()> {
    while !lifeline.is_cut() {
        // The rig listens while a job runs.
        match namespace::inside(&rig.peer.namespace, || connection(rig)) {
            Ok((stream, hello)) => {
                // The rig has closed it, or the link is down.
                let _ = answer_all(lifeline, rig, stream, hello);
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
    Ok(())
}

fn connection(rig: &Rig) -> io::Result<(TcpStream, Hello)> {
    let mtu = netlink::link(&rig.peer.interface)?.mtu;
    let address = SocketAddrV4::new(rig.nic.address, rig.control_port());
    Ok((TcpStream::connect_timeout(&address.into(), LOOK)?, Hello { mtu }))
}

fn answer_all(lifeline: &Lifeline, rig: &Rig, stream: TcpStream, hello: Hello) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK))?;
    let mut reader = BufReader::new(&stream);
    say(&stream, &hello)?;
    let (mut far_ends, mut line) = (FarEnds::default(), Vec::new());
    loop {
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(()),
            Ok(_) if line.ends_with(b"\n") => {
                let order = serde_json::from_slice(&line)?;
                line.clear();
                let open = |near| {
                    namespace::inside(&rig.peer.namespace, || {
                        TcpStream::connect_timeout(&SocketAddrV4::into(near), HANDSHAKE)
                    })
                };
                say(&stream, &far_ends.answer(order, open))?;
            }
            // The end of the connection in the middle of a line.
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if lifeline.is_cut() {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    }
}

fn say(mut stream: &TcpStream, line: &impl serde::Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    stream.write_all(&text)
}

/// The sockets, by their number.
#[derive(Debug, Default)]
struct FarEnds {
    sockets: BTreeMap<u32, TcpStream>,
    next: u32,
}

impl FarEnds {
    /// Carries out an order. `open` makes a connection.
    fn answer(
        &mut self,
        order: Order,
        open: impl FnOnce(SocketAddrV4) -> io::Result<TcpStream>,
    ) -> Done {
        self.carry_out(order, open).unwrap_or_else(|error| failed(&error))
    }

    fn carry_out(
        &mut self,
        order: Order,
        open: impl FnOnce(SocketAddrV4) -> io::Result<TcpStream>,
    ) -> io::Result<Done> {
        match order {
            Order::Connect(near) => {
                let socket = open(near)?;
                socket.set_nodelay(true)?;
                socket.set_write_timeout(Some(WRITE))?;
                // Closing sends a reset.
                SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
                let (number, port) = (self.next, socket.local_addr()?.port());
                self.next += 1;
                self.sockets.insert(number, socket);
                return Ok(Done::Connected(number, port));
            }
            Order::Send(number, bytes) => self.socket(number)?.write_all(&bytes)?,
            Order::Shutdown(number) => self.socket(number)?.shutdown(Shutdown::Write)?,
            Order::Close(number) => drop(self.sockets.remove(&number)),
            Order::Info(number) => {
                return Ok(Done::Info(syscall::tcp_info(self.socket(number)?.as_fd())?.to_vec()));
            }
        }
        Ok(Done::Ok)
    }

    fn socket(&self, number: u32) -> io::Result<&TcpStream> {
        self.sockets.get(&number).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn orders_open_use_and_close_sockets_and_an_error_is_an_answer() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let near = SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port());
        let mut far_ends = FarEnds::default();
        let mut answer = |order| far_ends.answer(order, TcpStream::connect);
        let Done::Connected(number, port) = answer(Order::Connect(near)) else { panic!() };
        let (mut receiver, from) = listener.accept().unwrap();
        assert_eq!(from.port(), port);
        assert_eq!(answer(Order::Send(number, b"bytes".to_vec())), Done::Ok);
        let mut bytes = [0; 5];
        receiver.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"bytes");
        assert!(matches!(answer(Order::Info(number)), Done::Info(info) if info.len() == 256));
        assert_eq!(answer(Order::Shutdown(number)), Done::Ok);
        assert_eq!(receiver.read(&mut bytes).unwrap(), 0, "the end of the stream");
        assert_eq!(answer(Order::Send(number, vec![1])), Done::Failed(libc::EPIPE));
        assert_eq!(answer(Order::Close(number)), Done::Ok);
        assert_eq!(answer(Order::Send(number, vec![1])), Done::Failed(libc::EBADF));
        drop(listener);
        assert_eq!(answer(Order::Connect(near)), Done::Failed(libc::ECONNREFUSED));
    }
}
