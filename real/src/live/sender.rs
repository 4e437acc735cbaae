//! Who sends: a thread that is replaced before its bytes can lie in two pieces of memory.
//!
//! TCP copies what a task sends into a piece of memory of that task, one piece after the other
//! (`skb_page_frag_refill`, `net/core/sock.c`), and where one ends a receive gets two completions
//! instead of one. In the model what is sent at once lies together. A new task begins a new piece.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender as Channel, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Bytes of a piece, if there is memory: `SKB_FRAG_PAGE_ORDER`.
const PIECE: usize = 32 << 10;

/// Sends for all connections of a test.
#[derive(Debug, Default)]
pub(super) struct Sender(Mutex<Option<Task>>);

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
        // A thread that panicked has given no answer, which is an error already.
        let _ = self.thread.join();
    }
}

impl Sender {
    /// Sends bytes, which lie together in the kernel unless they are more than a piece holds.
    ///
    /// # Errors
    ///
    /// Those of `send(2)`.
    pub(super) fn send(&self, stream: &Arc<TcpStream>, bytes: Vec<u8>) -> io::Result<()> {
        let mut task = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full) = task.take_if(|task| task.sent + bytes.len() > PIECE) {
            full.end();
        }
        let task = match &mut *task {
            Some(task) => task,
            none => none.insert(Task::start()?),
        };
        task.sent += bytes.len();
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        task.work.send((Arc::clone(stream), bytes)).map_err(|_| gone())?;
        task.done.recv().map_err(|_| gone())?
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let task = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        task.take().into_iter().for_each(Task::end);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn no_task_sends_more_than_a_piece_and_what_is_sent_arrives_in_order() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let far = Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (mut near, _) = listener.accept().unwrap();
        let sender = Sender::default();
        let task = || sender.0.lock().unwrap().as_ref().map(|task| task.thread.thread().id());
        let mut tasks = Vec::new();
        for number in 0..5 {
            sender.send(&far, vec![number; PIECE / 2]).unwrap();
            tasks.push(task().unwrap());
        }
        assert!(tasks[0] == tasks[1] && tasks[2] == tasks[3], "{tasks:?}");
        assert!(tasks[1] != tasks[2] && tasks[3] != tasks[4], "{tasks:?}");
        let mut bytes = vec![0; 5 * PIECE / 2];
        near.read_exact(&mut bytes).unwrap();
        assert!(bytes.chunks(PIECE / 2).zip(0..).all(|(part, number)| part[0] == number));
        far.shutdown(std::net::Shutdown::Write).unwrap();
        let error = sender.send(&far, vec![0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
