//! Families of tests: how rings share, where packets come from, and what has happened before the race.

use ifq_model::revision::Revision;

/// How the rings of a test share an interface queue, and the source of its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Sharing by export and import. No device: the kernel copies all data.
    Nodev,
    /// Sharing by export and import. Packets come from a device queue.
    Queue,
    /// Sharing by clones. Packets come from a device queue.
    Proxy,
}

impl Mode {
    /// All values, in the order of the enumeration.
    pub const ALL: [Mode; 3] = [Mode::Nodev, Mode::Queue, Mode::Proxy];

    /// The word in the names of tests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::Nodev => "nodev",
            Mode::Queue => "queue",
            Mode::Proxy => "proxy",
        }
    }
}

/// What has happened before the race starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prologue {
    /// Ring A has registered an ifq and, unless by clones, exported it.
    Owner,
    /// All rings use the ifq; no exported descriptor is open.
    Shared,
    /// As `shared`; a receive of ring A is armed, and no data has come.
    Receiving,
    /// As `shared`; a receive of the second ring is armed, and user space holds a buffer.
    Held,
    /// As `receiving`; the ifq was registered with both events.
    Events,
}

impl Prologue {
    /// All values, in the order of the enumeration.
    pub const ALL: [Prologue; 5] =
        [Prologue::Owner, Prologue::Shared, Prologue::Receiving, Prologue::Held, Prologue::Events];

    /// The word in the names of tests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Prologue::Owner => "owner",
            Prologue::Shared => "shared",
            Prologue::Receiving => "receiving",
            Prologue::Held => "held",
            Prologue::Events => "events",
        }
    }
}

/// The tests with one mode and one prologue. They apply to the same revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    /// How the rings share, and the source of the packets.
    pub mode: Mode,
    /// What has happened before.
    pub prologue: Prologue,
}

impl Family {
    /// All families, in the order of the enumeration.
    pub fn all() -> impl Iterator<Item = Family> {
        let modes = Mode::ALL.into_iter();
        let pairs = modes.flat_map(|mode| Prologue::ALL.map(|prologue| Family { mode, prologue }));
        pairs.filter(|family| family.revisions().next().is_some())
    }

    /// The family with this name, such as `nodev-held`.
    #[must_use]
    pub fn named(name: &str) -> Option<Family> {
        Family::all().find(|family| family.name() == name)
    }

    /// Its name, such as `nodev-held`.
    #[must_use]
    pub fn name(self) -> String {
        format!("{}-{}", self.mode.name(), self.prologue.name())
    }

    /// The revisions on which the prologue succeeds, oldest first.
    pub fn revisions(self) -> impl Iterator<Item = Revision> {
        Revision::ALL.into_iter().filter(move |revision| self.applies_to(*revision))
    }

    fn applies_to(self, revision: Revision) -> bool {
        let mode = match self.mode {
            Mode::Nodev => revision.has_nodev(),
            Mode::Queue => !revision.has_clone(),
            Mode::Proxy => revision.has_clone(),
        };
        mode && (self.prologue != Prologue::Events || revision.has_events())
    }

    /// Whether there are tests with this number of rings. With one ring, `owner` and `shared` are the same
    /// prologue if rings share by clones.
    #[must_use]
    pub fn has_tests(self, rings: u8) -> bool {
        rings > 1 || self.mode != Mode::Proxy || self.prologue != Prologue::Owner
    }

    /// Whether the tests have a connection.
    #[must_use]
    pub fn has_socket(self) -> bool {
        matches!(self.prologue, Prologue::Receiving | Prologue::Held | Prologue::Events)
    }

    /// Whether the tests have a network device.
    #[must_use]
    pub fn has_device(self) -> bool {
        self.mode != Mode::Nodev
    }

    /// The ring whose receive is armed in the prologue.
    #[must_use]
    pub fn receiver(self, rings: u8) -> Option<u8> {
        match self.prologue {
            Prologue::Owner | Prologue::Shared => None,
            Prologue::Receiving | Prologue::Events => Some(0),
            Prologue::Held => Some(1.min(rings - 1)),
        }
    }

    /// The first of the rings that the prologue treats alike: this one and all later ones.
    #[must_use]
    pub fn first_symmetric_ring(self, rings: u8) -> u8 {
        if self.prologue == Prologue::Held { rings.min(2) } else { 1 }
    }

    /// Whether a ring has an ifq before the race.
    #[must_use]
    pub fn has_ifq(self, ring: u8) -> bool {
        ring == 0 || self.prologue != Prologue::Owner
    }

    /// Whether an exported descriptor is open before the race.
    #[must_use]
    pub fn has_box(self) -> bool {
        self.prologue == Prologue::Owner && self.mode != Mode::Proxy
    }
}
