//! The side that runs inside a machine: reads a job, runs it on the kernel it finds itself on,
//! writes the answer. As process 1 of a guest it also sets the guest up and powers it off.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode};
use rustix::mount::MountFlags;
use rustix::system::RebootCommand;
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};

use crate::abi;
use crate::job::{Canary, Job, Line, Report};
use crate::kmsg::Watch;
use crate::live;
use crate::probe::probe;
use crate::residue::{Account, Allocated, Held};
use crate::ring::{Ring, Setup};
use crate::sys::{self, PAGE, SharedMem};

/// After so long in one wait a task counts as hung.
const HUNG_TASK_SECONDS: &str = "20";
/// Time between two signs of life.
const BEAT: Duration = Duration::from_millis(500);

/// Runs the job in `job` and writes [`Line`]s to `answer`. Process 1 never comes back from this.
///
/// # Errors
///
/// For people: files that cannot be read or written.
pub fn run(job: &Path, answer: &Path) -> Result<(), String> {
    let is_init = std::process::id() == 1;
    let result =
        if is_init { set_up().and_then(|()| serve(job, answer)) } else { serve(job, answer) };
    if is_init {
        if let Err(error) = &result {
            eprintln!("ifq: {error}");
        }
        power_off();
    }
    result
}

/// Mounts what the tests read and brings the loopback interface up.
pub(crate) fn set_up() -> Result<(), String> {
    rustix::mount::mount("proc", "/proc", "proc", MountFlags::empty(), None)
        .map_err(|error| format!("mounting /proc: {error}"))?;
    // The kernel may have mounted this one by itself; only a canary needs it.
    let _ = rustix::mount::mount("dev", "/dev", "devtmpfs", MountFlags::empty(), None);
    // What the kernel counts; a kernel without them says less.
    let _ = rustix::mount::mount("sys", "/sys", "sysfs", MountFlags::empty(), None);
    let _ =
        rustix::mount::mount("debug", "/sys/kernel/debug", "debugfs", MountFlags::empty(), None);
    // The kernel is to speak before the watchdog ends the guest; one that cannot has nothing to say.
    let _ = say("/proc/sys/kernel/hung_task_timeout_secs", HUNG_TASK_SECONDS);
    sys::interface_up("lo").map_err(|error| format!("the interface lo: {error}"))
}

/// Ends the guest.
pub(crate) fn power_off() -> ! {
    rustix::fs::sync();
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
    std::process::exit(1)
}

/// Opens a file to append to it, or a serial line, which is told to take bytes as they are.
pub(crate) fn open_line(path: &Path) -> Result<File, String> {
    let says = |error: std::io::Error| format!("the answer in {}: {error}", path.display());
    let file =
        File::options().append(true).custom_flags(libc::O_NOCTTY).open(path).map_err(says)?;
    if file.is_terminal() {
        let mut line = tcgetattr(&file).map_err(|error| says(error.into()))?;
        line.make_raw();
        let now = OptionalActions::Now;
        tcsetattr(&file, now, &line).map_err(|error| says(error.into()))?;
    }
    Ok(file)
}

/// Waits until a serial line has sent everything.
pub(crate) fn drain(file: &File) {
    // A file is no line and has nothing to wait for.
    let _ = tcdrain(file);
}

/// Where the answer goes, shared with the watchdog.
#[derive(Clone)]
struct Answer(Arc<Mutex<File>>);

impl Answer {
    fn open(path: &Path) -> Result<Self, String> {
        Ok(Answer(Arc::new(Mutex::new(open_line(path)?))))
    }

    fn drain(&self) {
        drain(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn write(&self, line: &Line) -> Result<(), String> {
        let mut text = serde_json::to_string(line).map_err(|error| error.to_string())?;
        text.push('\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).map_err(|error| format!("writing the answer: {error}"))
    }
}

fn serve(job: &Path, answer: &Path) -> Result<(), String> {
    let text = std::fs::read(job).map_err(|error| format!("reading {}: {error}", job.display()))?;
    let job: Job = serde_json::from_slice(&text).map_err(|error| format!("the job: {error}"))?;
    let answer = Answer::open(answer)?;
    let probe = probe();
    let obstacles: Vec<_> = job.tests.iter().map(|test| probe.obstacle_to(test)).collect();
    answer.write(&Line::Ready { probe })?;
    // Threads that are started from here on pay for what they lock.
    let account = Account::begin();
    let mut after = After { watch: Watch::begin(), allocated: Allocated::begin(), account };
    for (at, obstacle) in obstacles.into_iter().enumerate() {
        let report = match obstacle {
            Some(reason) => Report::NotRun { reason },
            None => run_test(&job, at, &answer, &mut after),
        };
        answer.write(&Line::Test { test: at, report })?;
    }
    answer.write(&Line::End)?;
    answer.drain();
    Ok(())
}

/// What is looked at after each test.
struct After {
    watch: Watch,
    allocated: Allocated,
    account: Option<Account>,
}

fn run_test(job: &Job, at: usize, answer: &Answer, after: &mut After) -> Report {
    let test = &job.tests[at];
    let quiet = Duration::from_millis(job.quiet_ms);
    let options = live::Options { times: job.times, seed: job.seed, quiet };
    let mut held = Held::begin();
    let done = Arc::new(AtomicU32::new(0));
    let patience = Duration::from_millis(job.patience_ms)
        + quiet * u32::try_from(test.steps().count()).unwrap_or(u32::MAX);
    let watchdog = Watchdog::start(at, Arc::clone(&done), answer.clone(), patience);
    if let Some(canary) = job.canary.filter(|_| at == 0 && std::process::id() == 1) {
        suffer(canary);
    }
    let ran = live::run(test, &options, &|| {
        done.fetch_add(1, Ordering::Relaxed);
    });
    watchdog.stop();
    match ran {
        Ok(seen) => {
            let mut problems = seen.problems;
            let left = held.left().into_iter().filter(|left| !problems.contains(left));
            problems.extend(left.collect::<Vec<_>>());
            let beat = || {
                // Without a reader there is nobody to tell.
                let _ = answer.write(&Line::Beat { test: at, done: job.times });
            };
            let last = at + 1 == job.tests.len();
            let account = after.account.as_mut();
            problems.extend(account.into_iter().flat_map(|account| account.left(last, &beat)));
            problems.extend(after.allocated.left(last, &beat));
            problems.extend(after.watch.complaints());
            let histogram = seen.histogram.into_iter().collect();
            Report::Seen { histogram, problems, stalls: seen.stalls, spread: seen.spread }
        }
        Err(reason) => Report::NotRun { reason },
    }
}

/// Goes wrong as it was asked for. What cannot be done is noticed as a canary that sings.
fn suffer(canary: Canary) {
    let written = match canary {
        Canary::Alarm => say("/dev/kmsg", "<4>WARNING: canary\n"),
        Canary::Crash => say("/proc/sysrq-trigger", "c"),
        Canary::Hang => loop {
            std::thread::park();
        },
        Canary::Leak => leak(),
        Canary::Number => reserve_number(),
        Canary::Account => hide_ring(),
    };
    if let Err(error) = written {
        eprintln!("ifq: {canary:?}: {error}");
    }
}

/// Registers an ifq and never lets go of it.
fn leak() -> std::io::Result<()> {
    let ring = Ring::new(Setup::default())?;
    let (area, region) = (SharedMem::new(PAGE)?, SharedMem::new(2 * PAGE)?);
    let registered = ring.register_nodev(&area, &region, 1);
    registered.map_err(|errno| std::io::Error::from_raw_os_error(errno.unsigned_abs() as i32))?;
    std::mem::forget((ring, area, region));
    Ok(())
}

/// Has a call hold a number that no descriptor has: an open of a FIFO whose other end nobody opens.
fn reserve_number() -> std::io::Result<()> {
    let fifo = "/dev/canary";
    rustix::fs::mknodat(rustix::fs::CWD, fifo, FileType::Fifo, Mode::RUSR, 0)?;
    std::thread::spawn(move || File::open(fifo));
    // Until it has come so far.
    std::thread::sleep(BEAT);
    Ok(())
}

/// Makes a ring that lives on after its descriptor is closed, by a mapping that nobody knows.
fn hide_ring() -> std::io::Result<()> {
    let ring = Ring::new(Setup::default())?;
    std::mem::forget(SharedMem::of_ring(ring.fd(), abi::IORING_OFF_SQ_RING, PAGE)?);
    Ok(())
}

fn say(file: &str, text: &str) -> std::io::Result<()> {
    File::options().write(true).open(file)?.write_all(text.as_bytes())
}

/// Says that a test is alive, or that it is stuck and then ends the machine: threads that hang in
/// the kernel cannot be waited for.
struct Watchdog {
    over: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Watchdog {
    fn start(test: usize, done: Arc<AtomicU32>, answer: Answer, patience: Duration) -> Self {
        let (over, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut watch = Watch::begin();
            let (mut last, mut since) = (0, Instant::now());
            while ended.recv_timeout(BEAT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let now = done.load(Ordering::Relaxed);
                if now != last {
                    (last, since) = (now, Instant::now());
                    // Without a reader there is nobody to tell, and the test goes on.
                    let _ = answer.write(&Line::Beat { test, done: now });
                } else if since.elapsed() > patience {
                    let tasks = [tasks(), watch.complaints()].concat();
                    let _ = answer.write(&Line::Stuck { test, done: now, tasks });
                    answer.drain();
                    end_stuck();
                }
            }
        });
        Watchdog { over, thread }
    }

    fn stop(self) {
        drop(self.over);
        // A watchdog that panicked has nothing more to say.
        let _ = self.thread.join();
    }
}

fn end_stuck() -> ! {
    if std::process::id() == 1 {
        power_off()
    }
    std::process::exit(1)
}

/// What each thread of this process waits for in the kernel, as far as `/proc` tells.
fn tasks() -> Vec<String> {
    let Ok(dir) = std::fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    dir.flatten()
        .map(|task| {
            let read = |name: &str| std::fs::read_to_string(task.path().join(name));
            let id = task.file_name().to_string_lossy().into_owned();
            let stack = read("stack").or_else(|_| read("wchan")).unwrap_or_default();
            format!("thread {id}: {}", stack.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}
