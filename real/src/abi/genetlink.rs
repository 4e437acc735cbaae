//! Generic netlink (`include/uapi/linux/genetlink.h`): requests to a family, and attributes.

use std::io;

use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};

/// Bytes of `struct nlmsghdr`, of `struct genlmsghdr`, and of an attribute's header.
const HEADER: usize = 16;
const GENL_HEADER: usize = 4;
const ATTRIBUTE: usize = 4;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
/// Flags of an acknowledgement: it has no copy of the request, and attributes follow.
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// The family of families.
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;

/// Attributes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    fn add(mut self, kind: u16, value: &[u8]) -> Self {
        let len = (ATTRIBUTE + value.len()) as u16;
        self.0.extend(len.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Adds an 8-bit number.
    #[must_use]
    pub fn u8(self, kind: u16, value: u8) -> Self {
        self.add(kind, &[value])
    }

    /// Adds a 32-bit number.
    #[must_use]
    pub fn u32(self, kind: u16, value: u32) -> Self {
        self.add(kind, &value.to_ne_bytes())
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, kind: u16, value: &str) -> Self {
        self.add(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Adds an attribute that says something by being there.
    #[must_use]
    pub fn flag(self, kind: u16) -> Self {
        self.add(kind, &[])
    }

    /// Adds attributes inside an attribute.
    #[must_use]
    pub fn nest(self, kind: u16, inner: &Attributes) -> Self {
        self.add(kind | NLA_F_NESTED, &inner.0)
    }
}

/// The attributes of an answer: kind and value.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(ATTRIBUTE..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & NLA_TYPE_MASK, value))
    })
}

/// The value of the first attribute of a kind.
#[must_use]
pub fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(other, value)| (other == kind).then_some(value))
}

/// A number of 1, 2, 4 or 8 bytes.
#[must_use]
pub fn number(bytes: &[u8], kind: u16) -> Option<u64> {
    let value = find(bytes, kind)?;
    match value.len() {
        1 => Some(value[0].into()),
        2 => Some(u16::from_ne_bytes(value.try_into().ok()?).into()),
        4 => Some(u32::from_ne_bytes(value.try_into().ok()?).into()),
        8 => Some(u64::from_ne_bytes(value.try_into().ok()?)),
        _ => None,
    }
}

/// A number of 32 bits.
#[must_use]
pub fn number32(bytes: &[u8], kind: u16) -> Option<u32> {
    number(bytes, kind)?.try_into().ok()
}

/// A text.
#[must_use]
pub fn text(bytes: &[u8], kind: u16) -> Option<String> {
    let value = find(bytes, kind)?;
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    Some(String::from_utf8_lossy(&value[..end]).into_owned())
}

/// A connection to a family.
#[derive(Debug)]
pub struct Family {
    socket: Socket,
    id: u16,
    version: u8,
}

impl Family {
    /// Connects to a family by its name.
    ///
    /// # Errors
    ///
    /// Those of the kernel: `ENOENT` if it has no such family.
    pub fn open(name: &str, version: u8) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Without it, errors have no text.
        let _ = socket.set_ext_ack(true);
        let controller = Family { socket, id: GENL_ID_CTRL, version: 1 };
        let asked = Attributes::default().text(CTRL_ATTR_FAMILY_NAME, name);
        let answer = controller.call(CTRL_CMD_GETFAMILY, &asked)?;
        let id = answer.first().and_then(|answer| number(answer, CTRL_ATTR_FAMILY_ID));
        let id = id.and_then(|id| u16::try_from(id).ok()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Family { id, version, ..controller })
    }

    /// Makes a request; the attributes of each answer.
    ///
    /// # Errors
    ///
    /// Those of the kernel, with its text.
    pub fn call(&self, command: u8, request: &Attributes) -> io::Result<Vec<Vec<u8>>> {
        self.transact(command, NLM_F_ACK, request)
    }

    /// Asks for all objects; the attributes of each.
    ///
    /// # Errors
    ///
    /// As [`Family::call`].
    pub fn dump(&self, command: u8, request: &Attributes) -> io::Result<Vec<Vec<u8>>> {
        self.transact(command, NLM_F_DUMP, request)
    }

    fn transact(&self, command: u8, flags: u16, request: &Attributes) -> io::Result<Vec<Vec<u8>>> {
        let len = (HEADER + GENL_HEADER + request.0.len()) as u32;
        let mut message = Vec::with_capacity(len as usize);
        message.extend(len.to_ne_bytes());
        message.extend(self.id.to_ne_bytes());
        message.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        // Sequence number and port: one request at a time, and the kernel fills in the port.
        message.extend([0; 8]);
        message.extend([command, self.version, 0, 0]);
        message.extend(&request.0);
        self.socket.send(&message, 0)?;
        let mut answers = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            if take_answers(&datagram, &mut answers)? {
                return Ok(answers);
            }
        }
    }
}

/// Adds the answers of a datagram. `true`: it has the last one.
fn take_answers(mut datagram: &[u8], answers: &mut Vec<Vec<u8>>) -> io::Result<bool> {
    while datagram.len() >= HEADER {
        let word = |at: usize| {
            u32::from_ne_bytes([datagram[at], datagram[at + 1], datagram[at + 2], datagram[at + 3]])
        };
        let half = |at: usize| u16::from_ne_bytes([datagram[at], datagram[at + 1]]);
        let len = word(0) as usize;
        let body = datagram.get(HEADER..len).ok_or(io::ErrorKind::InvalidData)?;
        match half(4) {
            NLMSG_ERROR | NLMSG_DONE => {
                let code = body
                    .get(..4)
                    .map_or(0, |code| i32::from_ne_bytes([code[0], code[1], code[2], code[3]]));
                return if code == 0 { Ok(true) } else { Err(error(code, half(6), body)) };
            }
            _ => answers.push(body.get(GENL_HEADER..).unwrap_or_default().to_vec()),
        }
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The kernel's error. Its text comes after the copy of the request.
fn error(code: i32, flags: u16, body: &[u8]) -> io::Error {
    let plain = io::Error::from_raw_os_error(code.saturating_neg());
    if flags & NLM_F_ACK_TLVS == 0 {
        return plain;
    }
    let copied =
        body.get(4..8).map_or(0, |len| u32::from_ne_bytes([len[0], len[1], len[2], len[3]]));
    let copied = if flags & NLM_F_CAPPED == 0 { copied as usize } else { HEADER };
    let attributes = body.get(4 + copied.next_multiple_of(4)..).unwrap_or_default();
    match text(attributes, NLMSGERR_ATTR_MSG) {
        Some(text) => io::Error::new(plain.kind(), format!("{plain}: {text}")),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_back_as_they_were_written() {
        let inner = Attributes::default().text(1, "eth0").flag(3);
        let all = Attributes::default().u8(7, 9).nest(2, &inner).u32(5, 1 << 20);
        assert_eq!(all.0.len() % 4, 0);
        assert_eq!((number(&all.0, 7), number32(&all.0, 5)), (Some(9), Some(1 << 20)));
        let nested = find(&all.0, 2).unwrap();
        assert_eq!(text(nested, 1).as_deref(), Some("eth0"));
        assert!(find(nested, 3).is_some_and(<[u8]>::is_empty));
        assert_eq!(find(&all.0, 4), None);
        // What is cut off is not read.
        assert_eq!(attributes(&all.0[..all.0.len() - 1]).count(), 2);
    }

    #[test]
    fn the_kernel_knows_its_controller_and_no_other_name() {
        let controller = Family::open("nlctrl", 2).unwrap();
        assert_eq!(controller.id, GENL_ID_CTRL);
        let error = Family::open("no-such-family", 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
        assert!(controller.dump(CTRL_CMD_GETFAMILY, &Attributes::default()).unwrap().len() > 1);
    }
}
