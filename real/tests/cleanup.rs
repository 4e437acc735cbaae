//! Goal: a killed run leaves nothing behind, and the next run works.
//! Method: start real runs, each in its own session, and kill the tool or the guest at random times. The
//! seed is printed first; `IFQ_SEED` sets it. Then check for processes of the session, mounts, temporary
//! files and incomplete fetches.
#![cfg(target_os = "linux")]

mod not_run;
mod race;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use race::RACE;
use rustix::process::{Pid, Signal, kill_process};

/// Time limit for killed processes to disappear.
const EXIT_TIME: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The process to kill, and the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Tool(Signal),
    Guest,
}

const VICTIMS: [Victim; 4] = [
    Victim::Tool(Signal::KILL),
    Victim::Guest,
    Victim::Tool(Signal::TERM),
    Victim::Tool(Signal::INT),
];

/// Random times from a seed (SplitMix64).
struct RandomTimes(u64);

impl RandomTimes {
    fn from_seed() -> Self {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let given = std::env::var("IFQ_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed = given.unwrap_or_else(|| u64::from(clock.subsec_nanos()));
        println!("IFQ_SEED={seed}");
        RandomTimes(seed)
    }

    fn within(&mut self, limit: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        limit.mul_f64((z >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// The working directory and the environment of runs.
struct Sandbox {
    dir: tempfile::TempDir,
    /// `None`: the cache of the user.
    cache: Option<PathBuf>,
    mounts: String,
}

impl Sandbox {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        fs::write(dir.path().join("a-race.ifq"), RACE).unwrap();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        Sandbox { dir, cache: None, mounts }
    }

    fn tmp(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    /// The tool as the leader of a new session.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setsid");
        command.arg(env!("CARGO_BIN_EXE_ifq")).args(arguments).current_dir(self.dir.path());
        command.env("TMPDIR", self.tmp()).stdin(Stdio::null());
        if let Some(cache) = &self.cache {
            command.env("XDG_CACHE_HOME", cache);
        }
        command
    }

    fn run(&self, on: &str, times: &str) -> Command {
        self.command(&["run", "a-race.ifq", "--on", on, "--times", times, "--seed", "1"])
    }

    /// Fails if a session left something behind.
    fn assert_clean(&self, session: u32, context: &str) {
        let start = Instant::now();
        while !members(session).is_empty() && start.elapsed() < EXIT_TIME {
            std::thread::sleep(POLL_INTERVAL);
        }
        assert_eq!(members(session), Vec::<(u32, String)>::new(), "{context}: processes");
        let left: Vec<_> = fs::read_dir(self.tmp()).unwrap().flatten().map(|e| e.path()).collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "{context}: temporary files");
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        assert_eq!(mounts, self.mounts, "{context}: mounts");
    }

    /// Whether a machine is available. If not, prints the reason.
    fn has(&self, on: &str) -> bool {
        let output = self.command(&["probe", "--on", on]).output().expect("setsid");
        if output.status.code() == Some(77) {
            not_run::not_run(String::from_utf8_lossy(&output.stdout).trim());
            return false;
        }
        assert!(output.status.success(), "{output:?}");
        true
    }

    fn assert_works(&self, on: &str, context: &str) {
        let output = self.run(on, "3").output().expect("setsid");
        assert!(output.status.success(), "{context}: the next run: {output:?}");
    }
}

/// The processes of a session that are alive, with their names.
fn members(session: u32) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name is in parentheses and may contain any character.
        let Some((head, rest)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let (state, of) = (fields[0], fields[3]);
        if of == session.to_string() && state != "Z" && state != "X" {
            found.push((pid, head.split_once('(').map_or("", |(_, name)| name).to_owned()));
        }
    }
    found.sort();
    found
}

fn kill(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    // It may have exited by itself.
    let _ = kill_process(pid, signal);
}

/// Kills the victim. Returns whether it existed.
fn kill_victim(victim: Victim, tool: &Child) -> bool {
    match victim {
        Victim::Tool(signal) => {
            kill(tool.id(), signal);
            true
        }
        Victim::Guest => {
            // The oldest process with an initrd; the KVM check has none.
            let is_guest = |pid: u32| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains("initrd")
            };
            let guest = members(tool.id()).into_iter().find(|(pid, _)| is_guest(*pid));
            guest.iter().for_each(|(pid, _)| kill(*pid, Signal::KILL));
            guest.is_some()
        }
    }
}

fn ended(tool: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = tool.try_wait().unwrap() {
            return status;
        }
        assert!(start.elapsed() < EXIT_TIME * 6, "the tool does not exit");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Whether the tool exited as expected.
fn is_expected(victim: Victim, killed: bool, status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    match victim {
        Victim::Tool(Signal::KILL) => status.signal() == Some(9),
        // Before the tool has installed its handlers the signal itself ends it.
        Victim::Tool(_) => status.code() == Some(130) || status.signal().is_some(),
        // A guest killed during boot is not run; later it is a difference.
        Victim::Guest => !killed || [Some(1), Some(77)].contains(&status.code()),
    }
}

/// Kills runs on a machine at `count` random times. After every fourth, the next run must work.
fn kill_runs(on: &str, count: usize, within: Duration) {
    let place = Sandbox::new();
    if !place.has(on) {
        return;
    }
    let mut moments = RandomTimes::from_seed();
    for number in 0..count {
        let (victim, moment) = (VICTIMS[number % VICTIMS.len()], moments.within(within));
        let context = format!("{number}: {on}, {victim:?} after {moment:?}");
        println!("{context}");
        let mut command = place.run(on, "4000000000");
        let mut tool = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        let mut killed = kill_victim(victim, &tool);
        while victim == Victim::Guest && !killed && tool.try_wait().unwrap().is_none() {
            // The guest has not started yet.
            std::thread::sleep(POLL_INTERVAL);
            killed = kill_victim(victim, &tool);
        }
        let status = ended(&mut tool);
        assert!(is_expected(victim, killed, status), "{context}: {status:?}");
        place.assert_clean(tool.id(), &context);
        if number % VICTIMS.len() == VICTIMS.len() - 1 || number + 1 == count {
            place.assert_works(on, &context);
        }
    }
}

#[test]
fn a_killed_run_on_user_mode_linux_leaves_nothing_behind() {
    kill_runs("uml", 12, Duration::from_millis(2500));
}

#[test]
#[ignore = "not run by default: boots an emulated kernel; .ci/run runs it, \
            cargo test -p ifq-real -- --ignored in_qemu"]
fn in_qemu_a_killed_tool_or_guest_leaves_nothing_behind() {
    kill_runs("qemu:7.3", 2, Duration::from_secs(15));
}

#[test]
#[ignore = "not run by default: each moment is an emulated boot, some five minutes in all; \
            cargo test -p ifq-real --test cleanup -- --ignored runs it"]
fn twenty_killed_runs_on_an_emulated_kernel_leave_nothing_behind() {
    kill_runs("qemu:7.3", 20, Duration::from_secs(20));
}

/// A fetch that was killed may leave its directory in the cache until the next one; nothing else.
#[test]
#[ignore = "not run by default: downloads a kernel seven times from the mirror; \
            cargo test -p ifq-real --test cleanup -- --ignored runs it"]
fn the_remains_of_a_killed_fetch_are_removed_by_the_next_fetch() {
    let mut place = Sandbox::new();
    let cache = place.dir.path().join("cache");
    place.cache = Some(cache.clone());
    let mut moments = RandomTimes::from_seed();
    for number in 0..6 {
        let moment = moments.within(Duration::from_secs(8));
        let victim = [VICTIMS[0], VICTIMS[2]][number % 2];
        let context = format!("{number}: fetch, {victim:?} after {moment:?}");
        println!("{context}");
        let mut tool = place.command(&["rig", "fetch", "7.3", "--again"]).spawn().unwrap();
        std::thread::sleep(moment);
        kill_victim(victim, &tool);
        ended(&mut tool);
        place.assert_clean(tool.id(), &context);
        if victim != VICTIMS[0] {
            assert!(names(&cache).iter().all(|name| !name.starts_with("fetch-")), "{context}");
        }
    }
    let last = place.command(&["rig", "fetch", "7.3", "--again"]).output().unwrap();
    assert!(last.status.success(), "{last:?}");
    assert_eq!(names(&cache), ["kernel-7.3", "lock"].map(String::from).into());
}

fn names(cache: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(cache.join("ifq")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
