//! Stop replies.

/// Why a machine that was running has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A vCPU, by its number from 0, stopped with a signal.
    Signal { cpu: usize, signal: u8 },
    /// The machine is gone.
    Exited,
}

/// Parses a stop reply. `None`: it is none.
pub(super) fn parse(payload: &str) -> Option<Stop> {
    match payload.as_bytes().first()? {
        b'W' | b'X' => Some(Stop::Exited),
        b'T' | b'S' => {
            let signal = u8::from_str_radix(payload.get(1..3)?, 16).ok()?;
            let fields = payload.get(3..)?.split(';');
            let thread = fields.into_iter().find_map(|field| field.strip_prefix("thread:"));
            let cpu = match thread {
                Some(thread) => cpu_of(thread)?,
                None => 0,
            };
            Some(Stop::Signal { cpu, signal })
        }
        _ => None,
    }
}

/// The vCPU of a thread, such as `p01.02` or `2`. Threads are numbered from 1.
pub(super) fn cpu_of(thread: &str) -> Option<usize> {
    let number = thread.rsplit('.').next()?;
    usize::from_str_radix(number, 16).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_name_the_vcpu_and_the_signal() {
        let stop = |cpu, signal| Some(Stop::Signal { cpu, signal });
        assert_eq!(parse("T05thread:p01.03;"), stop(2, 5));
        assert_eq!(parse("T02swbreak:;thread:01;"), stop(0, 2));
        assert_eq!(parse("S05"), stop(0, 5));
        assert_eq!(parse("W00"), Some(Stop::Exited));
        assert_eq!(parse("OK"), None);
        assert_eq!(parse("T05thread:p01.00;"), None, "threads start at 1");
    }
}
