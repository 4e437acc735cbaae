//! The tool's signs of life on standard input.

use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGTERM};

use crate::job::Job;
use crate::rig::agent::{Answer, Request};

fn failed(why: &str) -> Answer {
    Answer::Failed { why: why.to_owned() }
}

/// Whether the tool is still there.
#[derive(Clone, Debug)]
pub(super) struct Lifeline {
    cut: Arc<AtomicBool>,
    last: Arc<Mutex<Instant>>,
    silence: Duration,
}

impl Lifeline {
    /// Reads the request, and watches the input from then on.
    pub(super) fn start() -> Result<(Self, Request<Job>), Answer> {
        let cut = Arc::new(AtomicBool::new(false));
        // The end of the connection is no reason to die before the rig is restored.
        for signal in [SIGHUP, SIGINT, SIGTERM, SIGPIPE] {
            let flag = Arc::clone(&cut);
            signal_hook::flag::register(signal, flag)
                .map_err(|error| failed(&format!("a signal handler: {error}")))?;
        }
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        read.map_err(|error| failed(&format!("the request: {error}")))?;
        let request: Request<Job> = serde_json::from_str(&line)
            .map_err(|error| failed(&format!("the request: {error}")))?;
        let lifeline = Lifeline {
            cut,
            last: Arc::new(Mutex::new(Instant::now())),
            silence: Duration::from_secs(request.rig.silence_seconds.into()),
        };
        let watched = lifeline.clone();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                if line.is_err() {
                    break;
                }
                *watched.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            }
            watched.cut.store(true, Ordering::Relaxed);
        });
        Ok((lifeline, request))
    }

    /// Whether the input has ended, no sign of life has come for too long, or a signal asked to stop.
    pub(super) fn is_cut(&self) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.cut.load(Ordering::Relaxed) || last.elapsed() > self.silence
    }
}
