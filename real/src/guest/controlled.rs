//! A guest whose threads are controlled from outside: hands the kernel's symbols to the controller.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use super::answer::AnswerWriter;
use crate::abi::marker::{FUNCTION, Marker, TAKEN};
use crate::abi::syscall;
use crate::job::JobLine;

/// Time that the controller has to connect.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Time between two attempts to reach it.
const POLL: Duration = Duration::from_millis(2);
/// Lines after which progress is reported.
const LINES_PER_BEAT: usize = 20_000;
/// Data symbols that the controller needs.
const DATA: [&str; 5] =
    ["__preempt_count", "current_task", "const_current_task", "pcpu_hot", "jiffies"];

/// Makes the kernel free packets where they are consumed. Otherwise they wait for the processor that allocated them
/// (`skb_attempt_defer_free`), which may be idle from then on, and keep the memory of an ifq.
pub(super) fn free_packets_at_once() {
    // An older kernel does not have it.
    let _ = std::fs::write("/proc/sys/net/core/skb_defer_max", "0");
}

/// Announces this guest to its controller, and waits until it has read the kernel's symbols. `known`: the controller
/// knows them already.
pub(super) fn meet_controller(answer: &AnswerWriter, known: bool) -> Result<(), String> {
    let symbols = if known { String::new() } else { read_symbols(answer)? };
    let marker = match known {
        true => 0,
        false => address(&symbols, FUNCTION)
            .filter(|address| *address != 0)
            .ok_or_else(|| format!("/proc/kallsyms does not say where {FUNCTION} is"))?,
    };
    answer.write(&JobLine::Controlled { first: 0, marker })?;
    let start = Instant::now();
    let here = Marker::Symbols(symbols.as_ptr() as u64, symbols.len() as u64);
    while syscall::mark(here) != TAKEN {
        if start.elapsed() > TIME_LIMIT {
            return Err("no controller came".to_owned());
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Reads the symbols, which takes an emulated processor a while.
fn read_symbols(answer: &AnswerWriter) -> Result<String, String> {
    let context = |error: std::io::Error| format!("/proc/kallsyms: {error}");
    let lines = BufReader::new(File::open("/proc/kallsyms").map_err(context)?).lines();
    let mut symbols = String::new();
    for (number, line) in lines.enumerate() {
        symbols += &selection(&line.map_err(context)?);
        if number % LINES_PER_BEAT == 0 {
            answer.write(&JobLine::Beat { test: 0, done: 0 })?;
        }
    }
    Ok(symbols)
}

/// The lines of all functions and of the data that the controller needs, without those of modules, whose addresses
/// change.
fn selection(all: &str) -> String {
    let wanted = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let of_kernel = words.next().is_none();
        of_kernel && (matches!(kind, "t" | "T" | "w" | "W") || DATA.contains(&name))
    };
    all.lines().filter(wanted).fold(String::new(), |text, line| text + line + "\n")
}

fn address(symbols: &str, name: &str) -> Option<u64> {
    let line = symbols.lines().find(|line| line.split_whitespace().nth(2) == Some(name))?;
    u64::from_str_radix(line.split_whitespace().next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_the_wanted_data_are_selected() {
        let all = "ffffffff81000000 T _stext\nffffffff82000000 D jiffies_64\n\
                   ffffffff83000000 A __preempt_count\nffffffffc0000000 t poll\t[softnic]\n";
        let selected = selection(all);
        assert_eq!(selected.lines().count(), 2, "not the module's: {selected}");
        assert!(!selected.contains("jiffies_64"));
        assert_eq!(address(&selected, "__preempt_count"), Some(0xffff_ffff_8300_0000));
        assert_eq!(address(&selected, "jiffies_64"), None);
    }
}
