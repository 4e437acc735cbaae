//! Sender threads, recycled before a send would span two page fragments.
//!
//! TCP copies sent data into the page fragment of the sending task (`skb_page_frag_refill`,
//! `net/core/sock.c`). A send that spans two fragments gives a receiver two completions instead of one.
//! In the model a send is contiguous. A new task starts with a new fragment.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender as Channel, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::abi::syscall;

/// Bytes of a page fragment, if memory is available: `SKB_FRAG_PAGE_ORDER`.
const FRAGMENT: usize = 32 << 10;

/// The sender of all connections of a test.
#[derive(Debug, Default)]
pub(super) struct Sender {
    task: Mutex<Option<Task>>,
    /// The calling thread sends, so that a controller can follow it into the kernel. A thread of a test is new in each
    /// forced run, and begins with a new fragment; the main thread is not.
    by_caller: bool,
}

#[derive(Debug)]
struct Task {
    work: Channel<(Arc<TcpStream>, Vec<u8>)>,
    done: Receiver<io::Result<()>>,
    thread: JoinHandle<()>,
    sent: usize,
}

impl Task {
    fn start() -> io::Result<Self> {
        let (work, taken) = channel::<(Arc<TcpStream>, Vec<u8>)>();
        let (answer, done) = channel();
        let thread = std::thread::Builder::new().spawn(move || {
            for (stream, bytes) in taken {
                if answer.send((&*stream).write_all(&bytes)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Task { work, done, thread, sent: 0 })
    }

    fn end(self) {
        drop(self.work);
        // If the thread panicked, the missing answer was reported as an error.
        let _ = self.thread.join();
    }
}

impl Sender {
    /// A sender of a run that a controller forces, or of another one.
    pub(super) fn new(forced: bool) -> Self {
        Sender { task: Mutex::new(None), by_caller: forced }
    }

    /// Sends bytes. They are contiguous in the kernel if they fit into one fragment.
    ///
    /// # Errors
    ///
    /// Those of `send(2)`.
    pub(super) fn send(&self, stream: &Arc<TcpStream>, bytes: Vec<u8>) -> io::Result<()> {
        let is_main = || syscall::thread_id().cast_unsigned() == std::process::id();
        if self.by_caller && !is_main() {
            return (&**stream).write_all(&bytes);
        }
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full) = task.take_if(|task| task.sent + bytes.len() > FRAGMENT) {
            full.end();
        }
        let task = match &mut *task {
            Some(task) => task,
            none => none.insert(Task::start()?),
        };
        task.sent += bytes.len();
        let broken_pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        task.work.send((Arc::clone(stream), bytes)).map_err(|_| broken_pipe())?;
        task.done.recv().map_err(|_| broken_pipe())?
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        task.take().into_iter().for_each(Task::end);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_thread_of_a_forced_run_sends_itself() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let peer = Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (mut near, _) = listener.accept().unwrap();
        let sender = Sender::new(true);
        std::thread::scope(|scope| {
            scope.spawn(|| sender.send(&peer, vec![7; 10]).unwrap());
        });
        near.read_exact(&mut [0; 10]).unwrap();
        assert!(sender.task.lock().unwrap().is_none());
    }

    #[test]
    fn no_task_sends_more_than_a_fragment_and_the_bytes_arrive_in_order() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let peer = Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (mut near, _) = listener.accept().unwrap();
        let sender = Sender::default();
        let task = || sender.task.lock().unwrap().as_ref().map(|task| task.thread.thread().id());
        let mut tasks = Vec::new();
        for number in 0..5 {
            sender.send(&peer, vec![number; FRAGMENT / 2]).unwrap();
            tasks.push(task().unwrap());
        }
        assert!(tasks[0] == tasks[1] && tasks[2] == tasks[3], "{tasks:?}");
        assert!(tasks[1] != tasks[2] && tasks[3] != tasks[4], "{tasks:?}");
        let mut bytes = vec![0; 5 * FRAGMENT / 2];
        near.read_exact(&mut bytes).unwrap();
        assert!(bytes.chunks(FRAGMENT / 2).zip(0..).all(|(part, number)| part[0] == number));
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let error = sender.send(&peer, vec![0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
