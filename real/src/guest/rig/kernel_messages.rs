//! Messages of the kernel while a job runs, written to standard error at once: the connection may be the last
//! that is seen of a kernel that crashes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Messages up to `KERN_WARNING` are forwarded.
const WARNING: u32 = 4;

/// Forwards the messages from now on, in a thread of its own.
pub(super) fn follow() {
    let Ok(mut log) = File::open("/dev/kmsg") else { return };
    if log.seek(SeekFrom::End(0)).is_err() {
        return;
    }
    std::thread::spawn(move || {
        // One record a read.
        let mut record = [0; 8192];
        loop {
            match log.read(&mut record) {
                Ok(0) => return,
                Ok(len) => forward(&String::from_utf8_lossy(&record[..len])),
                // Records were overwritten before they were read.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
}

fn forward(record: &str) {
    if let Some(text) = important(record) {
        errln!("kernel: {text}");
    }
}

/// The text of a record `PRIORITY,SEQUENCE,TIME,FLAGS;TEXT` that is a warning or worse.
fn important(record: &str) -> Option<&str> {
    let (head, text) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    (priority & 7 <= WARNING).then(|| text.lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_forwarded_and_information_is_not() {
        assert_eq!(important("4,12,345,-;WARNING: at x\n KEY=1"), Some("WARNING: at x"));
        assert_eq!(important("6,12,345,-;eth0: link up"), None);
        assert_eq!(important("nonsense"), None);
    }
}
