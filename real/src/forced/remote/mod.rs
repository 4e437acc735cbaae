//! A client of the remote serial protocol of gdb, as far as QEMU's stub is needed to control a guest: vCPUs are
//! the stub's threads.

mod packet;
mod registers;
mod stop;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use thiserror::Error;

pub(crate) use registers::{Reg, Registers};
pub(crate) use stop::Stop;

use packet::{Decoder, Received, encode};

/// Time limit of a request that the stub answers at once.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Time that the stub has to say that the machine has stopped, once there is a connection.
const GREETING_TIME: Duration = Duration::from_secs(2);
/// Time between two attempts to connect.
const CONNECT_POLL: Duration = Duration::from_millis(10);
/// Bytes of memory in one request: the stub's packets have at most 4096 characters.
const CHUNK: usize = 2000;
/// The byte that interrupts a running machine.
const INTERRUPT: u8 = 3;

/// Why the stub cannot be used any more, or refused a request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum RemoteError {
    /// The connection cannot be used.
    #[error("the gdb stub: {0}")]
    Connection(String),
    /// The stub closed the connection: the machine is gone.
    #[error("the gdb stub closed the connection")]
    Closed,
    /// No answer in time.
    #[error("the gdb stub did not answer `{sent}` within {} s; expected {expected}", limit.as_secs())]
    Silent { sent: String, expected: &'static str, limit: Duration },
    /// Another answer than expected.
    #[error("the gdb stub answered `{sent}` with `{answer}`; expected {expected}")]
    Unexpected { sent: String, answer: String, expected: &'static str },
}

/// A connection to a stub.
#[derive(Debug)]
pub(crate) struct Remote {
    stream: UnixStream,
    decoder: Decoder,
    /// The vCPU that requests are about, as the stub knows it.
    selected: Option<usize>,
}

impl Remote {
    /// Connects to a stub, which stops its machine.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]: nobody listens within the time limit, or the stub lacks what is needed.
    pub(crate) fn connect(path: &Path, limit: Duration) -> Result<Self, RemoteError> {
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(_) if start.elapsed() < limit => std::thread::sleep(CONNECT_POLL),
                Err(error) => {
                    let what = format!("connecting to {}: {error}", path.display());
                    return Err(RemoteError::Connection(what));
                }
            }
        };
        Remote::new(stream)
    }

    /// A client of the stub at the other end of a socket.
    fn new(stream: UnixStream) -> Result<Self, RemoteError> {
        let mut remote = Remote { stream, decoder: Decoder::default(), selected: None };
        // The stub stops the machine and says so. What it receives before is lost.
        remote.receive(GREETING_TIME)?;
        let supported = "qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+";
        let features = |answer: &str| answer.contains("multiprocess+").then_some(());
        remote.ask(supported, "a list of features with `multiprocess+`", features)?;
        let actions = |answer: &str| {
            let mut known = answer.strip_prefix("vCont")?.split(';');
            let known: Vec<&str> = known.by_ref().collect();
            (known.contains(&"c") && known.contains(&"s")).then_some(())
        };
        remote.ask("vCont?", "`vCont` with the actions `c` and `s`", actions)?;
        remote.ask("?", "a stop reply", stop::parse)?;
        Ok(remote)
    }

    /// The number of vCPUs.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub(crate) fn cpus(&mut self) -> Result<usize, RemoteError> {
        let (mut count, mut request) = (0, "qfThreadInfo");
        let threads = |answer: &str| match answer.strip_prefix('m') {
            Some(list) => list.split(',').map(stop::cpu_of).collect::<Option<Vec<_>>>(),
            None => (answer == "l").then(Vec::new),
        };
        loop {
            let some = self.ask(request, "a list of threads", threads)?;
            if some.is_empty() {
                return Ok(count);
            }
            count += some.len();
            request = "qsThreadInfo";
        }
    }

    /// The registers of a vCPU.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub(crate) fn registers(&mut self, cpu: usize) -> Result<Registers, RemoteError> {
        self.select(cpu)?;
        self.ask("g", "the registers of x86-64", |answer| {
            Registers::new(from_hex(&answer.replace('x', "0"))?)
        })
    }

    /// Writes all registers of a vCPU.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub(crate) fn set_registers(
        &mut self,
        cpu: usize,
        regs: &Registers,
    ) -> Result<(), RemoteError> {
        self.select(cpu)?;
        self.ask_ok(&format!("G{}", to_hex(regs.bytes())))
    }

    /// Reads memory at a virtual address of a vCPU.
    ///
    /// # Errors
    ///
    /// [`RemoteError`], also if the address is not mapped.
    pub(crate) fn read(&mut self, cpu: usize, at: u64, len: usize) -> Result<Vec<u8>, RemoteError> {
        self.select(cpu)?;
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let part = (len - bytes.len()).min(CHUNK);
            let request = format!("m{:x},{part:x}", at + bytes.len() as u64);
            let whole = |answer: &str| from_hex(answer).filter(|bytes| bytes.len() == part);
            bytes.extend(self.ask(&request, "the bytes in hexadecimal", whole)?);
        }
        Ok(bytes)
    }

    /// Reads a little-endian word of 64 bits.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub(crate) fn read_u64(&mut self, cpu: usize, at: u64) -> Result<u64, RemoteError> {
        let bytes = self.read(cpu, at, 8)?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// Writes memory at a virtual address of a vCPU.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub(crate) fn write(&mut self, cpu: usize, at: u64, bytes: &[u8]) -> Result<(), RemoteError> {
        self.select(cpu)?;
        for (chunk, offset) in bytes.chunks(CHUNK).zip((0..).step_by(CHUNK)) {
            self.ask_ok(&format!("M{:x},{:x}:{}", at + offset, chunk.len(), to_hex(chunk)))?;
        }
        Ok(())
    }

    /// Sets a breakpoint for all vCPUs. Hardware breakpoints: the guest's memory stays unchanged.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub(crate) fn set_breakpoint(&mut self, at: u64) -> Result<(), RemoteError> {
        self.ask_ok(&format!("Z1,{at:x},1"))
    }

    /// Removes a breakpoint.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub(crate) fn remove_breakpoint(&mut self, at: u64) -> Result<(), RemoteError> {
        self.ask_ok(&format!("z1,{at:x},1"))
    }

    /// Executes one instruction of a vCPU while the others stand still.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub(crate) fn step(&mut self, cpu: usize) -> Result<Stop, RemoteError> {
        self.ask(&format!("vCont;s:{}", thread(cpu)), "a stop reply", stop::parse)
    }

    /// Lets these vCPUs run until one of them stops. `None`: none did within the time limit, and the
    /// machine was interrupted.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub(crate) fn run(
        &mut self,
        cpus: impl IntoIterator<Item = usize>,
        limit: Duration,
    ) -> Result<Option<Stop>, RemoteError> {
        let actions: Vec<String> =
            cpus.into_iter().map(|cpu| format!("c:{}", thread(cpu))).collect();
        let request = format!("vCont;{}", actions.join(";"));
        self.send(&request)?;
        if let Some(answer) = self.receive(limit)? {
            return self.stop_reply(request, answer).map(Some);
        }
        self.write_all(&[INTERRUPT])?;
        let Some(answer) = self.receive(ANSWER_TIME)? else {
            let sent = format!("{request} and an interrupt");
            return Err(RemoteError::Silent { sent, expected: "a stop reply", limit: ANSWER_TIME });
        };
        // It may have stopped by itself just before.
        match self.stop_reply(request, answer)? {
            Stop::Signal { signal: 2, .. } => Ok(None),
            stop => {
                self.forget_interrupt()?;
                Ok(Some(stop))
            }
        }
    }

    /// Ends the machine.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]: the stub is gone already.
    pub(crate) fn kill(&mut self) -> Result<(), RemoteError> {
        self.send("k")
    }

    /// Takes the stop reply of an interrupt that came after another stop, if the stub sends one.
    fn forget_interrupt(&mut self) -> Result<(), RemoteError> {
        self.receive(CONNECT_POLL).map(drop)
    }

    fn stop_reply(&self, sent: String, answer: String) -> Result<Stop, RemoteError> {
        let expected = "a stop reply";
        stop::parse(&answer).ok_or(RemoteError::Unexpected { sent, answer, expected })
    }

    /// Makes a vCPU the one that the following requests are about.
    fn select(&mut self, cpu: usize) -> Result<(), RemoteError> {
        if self.selected != Some(cpu) {
            self.ask_ok(&format!("Hg{}", thread(cpu)))?;
            self.selected = Some(cpu);
        }
        Ok(())
    }

    fn ask_ok(&mut self, request: &str) -> Result<(), RemoteError> {
        self.ask(request, "`OK`", |answer| (answer == "OK").then_some(()))
    }

    /// Sends a request and parses its answer.
    fn ask<T>(
        &mut self,
        request: &str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, RemoteError> {
        // A stop may select another vCPU.
        if request.starts_with("vCont;") {
            self.selected = None;
        }
        self.send(request)?;
        let Some(answer) = self.receive(ANSWER_TIME)? else {
            let sent = shortened(request);
            return Err(RemoteError::Silent { sent, expected, limit: ANSWER_TIME });
        };
        parse(&answer).ok_or_else(|| RemoteError::Unexpected {
            sent: shortened(request),
            answer: shortened(&answer),
            expected,
        })
    }

    fn send(&mut self, request: &str) -> Result<(), RemoteError> {
        if request.starts_with("vCont;") {
            self.selected = None;
        }
        self.write_all(&encode(request.as_bytes()))
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), RemoteError> {
        self.stream.write_all(bytes).map_err(|error| broken(&error))
    }

    /// The next packet. `None`: there was none within the time limit.
    fn receive(&mut self, limit: Duration) -> Result<Option<String>, RemoteError> {
        let end = Instant::now() + limit;
        loop {
            match self.decoder.take() {
                Some(Received::Packet(payload)) => {
                    // The next request notices that the stub is gone.
                    let _ = self.write_all(b"+");
                    return Ok(Some(String::from_utf8_lossy(&payload).into_owned()));
                }
                Some(Received::Damaged) => self.write_all(b"-")?,
                Some(Received::Nak) => {
                    let what = "a packet arrived damaged".to_owned();
                    return Err(RemoteError::Connection(what));
                }
                Some(Received::Ack) => {}
                None => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() || !self.more(left)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Reads some bytes. `false`: none came within the time limit.
    fn more(&mut self, limit: Duration) -> Result<bool, RemoteError> {
        let mut bytes = [0; 4096];
        self.stream.set_read_timeout(Some(limit)).map_err(|error| broken(&error))?;
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(RemoteError::Closed),
            Ok(len) => {
                self.decoder.push(&bytes[..len]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(broken(&error)),
        }
    }
}

fn broken(error: &std::io::Error) -> RemoteError {
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => RemoteError::Closed,
        _ => RemoteError::Connection(error.to_string()),
    }
}

/// A vCPU as the stub names it.
fn thread(cpu: usize) -> String {
    format!("p1.{:x}", cpu + 1)
}

/// The beginning of a request or an answer, for messages.
fn shortened(text: &str) -> String {
    const MAX: usize = 60;
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests;
