//! Validation of a [`Test`], independent of its text.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use ifq_model::test::{RingSetup, Test, VarId, limits};

use super::place::{Invalid, Place};
use super::validate_order::check_order;
use super::words::{NAME_FORM, is_name, is_reserved};

/// Checks the rules that the type of a test does not enforce: names are well-formed and unique,
/// indices exist, results have the right kind and are numbered in the order of [`Test::steps`],
/// numbers are within [`limits`], one thread takes a ring's completions, no step waits for itself, and each
/// expectation names an existing variant.
///
/// # Errors
///
/// The first violation.
pub fn validate(test: &Test) -> Result<(), Invalid> {
    let checker = Checker { test };
    checker.header()?;
    checker.names()?;
    checker.steps()?;
    check_order(test)?;
    checker.verdicts()
}

/// The validation of one test.
pub(super) struct Checker<'t> {
    pub(super) test: &'t Test,
}

impl Checker<'_> {
    pub(super) fn fail(
        &self,
        place: Place,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> Result<(), Invalid> {
        Err(Invalid::new(self.test, place, message, expected))
    }

    pub(super) fn count(
        &self,
        place: Place,
        what: &str,
        count: usize,
        min: usize,
        max: usize,
    ) -> Result<(), Invalid> {
        if (min..=max).contains(&count) {
            return Ok(());
        }
        self.fail(place, format!("{count} {what}"), format!("{min} to {max}"))
    }

    pub(super) fn range(
        &self,
        place: Place,
        what: &str,
        value: u32,
        min: u32,
        max: u32,
    ) -> Result<(), Invalid> {
        if (min..=max).contains(&value) {
            return Ok(());
        }
        self.fail(place, format!("{what} {value} is out of range"), format!("{min} to {max}"))
    }

    pub(super) fn unique<T: PartialEq + ToString>(
        &self,
        items: &[T],
        place: impl Fn(usize) -> Place,
    ) -> Result<(), Invalid> {
        for (i, item) in items.iter().enumerate() {
            if items[..i].contains(item) {
                let message = format!("`{}` is listed twice", item.to_string());
                return self.fail(place(i), message, "each once");
            }
        }
        Ok(())
    }

    fn header(&self) -> Result<(), Invalid> {
        let test = self.test;
        if !is_name(&test.name) {
            return self.fail(Place::Name, format!("`{}` is no name", test.name), NAME_FORM);
        }
        let about = &test.about;
        let trimmed = about.trim_matches([' ', '\t']).len() == about.len();
        let comment = about.starts_with('#') || about.contains(" #") || about.contains("\t#");
        let control = about.chars().any(|c| c.is_control() && c != '\t');
        if !trimmed || comment || control {
            return self.fail(
                Place::About,
                "`about` does not fit on a line",
                "one line without control characters, comments and surrounding spaces",
            );
        }
        if test.revisions.is_empty() {
            return self.fail(Place::Revisions, "no revision", "a line `revision NAME...`");
        }
        self.unique(&test.revisions, Place::Revision)?;
        if let Some(i) = test.revisions.windows(2).position(|w| w[0] > w[1]) {
            return self.fail(Place::Revision(i + 1), "revisions out of order", "oldest first");
        }
        self.unique(&test.shows, Place::Show)?;
        if test.rings.is_empty() {
            return self.fail(Place::Rings, "no ring", "a line `ring NAME...`");
        }
        self.count(Place::Rings, "rings", test.rings.len(), 1, limits::RINGS)?;
        self.setups()?;
        self.count(Place::Sockets, "sockets", test.sockets.len(), 0, limits::SOCKETS)?;
        self.count(Place::Threads, "threads", test.threads.len(), 0, limits::THREADS)?;
        self.count(Place::Vars, "bound names", test.vars.len(), 0, limits::VARS)?;
        self.range(Place::Queues, "number of queues", test.queues, 0, limits::QUEUES)?;
        for (i, socket) in test.sockets.iter().enumerate() {
            if let Some(queue) = socket.queue {
                self.queue(Place::SocketQueue(i), queue)?;
            }
        }
        Ok(())
    }

    /// Setup options are sorted by ring, then in the order of [`RingSetup::ALL`].
    fn setups(&self) -> Result<(), Invalid> {
        let test = self.test;
        for (i, &(ring, setup)) in test.setups.iter().enumerate() {
            if usize::from(ring) >= test.rings.len() {
                return self.fail(Place::Setup(i), format!("there is no ring {ring}"), "a ring");
            }
            let before = i.checked_sub(1).map(|i| test.setups[i]);
            let key = |(ring, setup): (u8, RingSetup)| (ring, setup as u8);
            match before.map(|before| key(before).cmp(&key((ring, setup)))) {
                Some(Ordering::Equal) => {
                    let message = format!("`{}` is listed twice", setup.name());
                    return self.fail(Place::Setup(i), message, "each once");
                }
                Some(Ordering::Greater) => {
                    let expected = "the order of the rings, then of the options";
                    return self.fail(Place::Setup(i), "setup options out of order", expected);
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn queue(&self, place: Place, queue: u32) -> Result<(), Invalid> {
        match self.test.queues {
            0 => self.fail(place, "there is no network device", "a line `queues N`"),
            n if queue >= n => {
                let message = format!("queue {queue} is out of range");
                self.fail(place, message, format!("0 to {}, see `queues`", n - 1))
            }
            _ => Ok(()),
        }
    }

    /// Rings, sockets and results share one name space; threads have their own.
    fn names(&self) -> Result<(), Invalid> {
        let test = self.test;
        let rings = test.rings.iter().enumerate().map(|(i, n)| (n, Place::Ring(i), "ring"));
        let sockets = test.sockets.iter().enumerate();
        let sockets = sockets.map(|(i, s)| (&s.name, Place::Socket(i), "socket"));
        let vars = test.vars.iter().enumerate();
        let vars = vars.map(|(i, v)| (&v.name, Place::Var(i), "result"));
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, place, what) in rings.chain(sockets).chain(vars) {
            if !is_name(name) {
                return self.fail(place, format!("`{name}` is no name"), NAME_FORM);
            }
            if is_reserved(name) {
                let message = format!("`{name}` is a word of the format");
                return self.fail(place, message, "another name");
            }
            if let Some(before) = seen.insert(name, what) {
                let message = format!("`{name}` is already the name of a {before}");
                return self.fail(place, message, "a name that is not taken");
            }
        }
        let mut seen = BTreeSet::new();
        for (i, thread) in test.threads.iter().enumerate() {
            if !is_name(&thread.name) {
                let message = format!("`{}` is no name", thread.name);
                return self.fail(Place::Thread(i), message, NAME_FORM);
            }
            if !seen.insert(&thread.name) {
                let message = format!("there is already a thread `{}`", thread.name);
                return self.fail(Place::Thread(i), message, "a name that is not taken");
            }
        }
        Ok(())
    }

    pub(super) fn name(&self, var: VarId) -> &str {
        &self.test.vars[usize::from(var)].name
    }

    pub(super) fn var(&self, place: Place, var: VarId) -> Result<(), Invalid> {
        if usize::from(var) < self.test.vars.len() {
            return Ok(());
        }
        self.fail(place, format!("there is no result {var}"), "the result of a step")
    }
}
