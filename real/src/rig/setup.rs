//! Sets a rig up for tests, and restores it.

use std::io;

use super::description::Rig;
use super::error::{Complaint, Field};
use super::journal::{Journal, Undo};
use super::refusal::{refusal, refusal_of_peer};
use crate::abi::ethtool::{Ethtool, Rings, TCP_DATA_SPLIT_ENABLED};
use crate::abi::netlink::{self, LinkChange};
use crate::abi::syscall::{ethtool, namespace};

/// The feature without which a driver has no flow rules.
const NTUPLE: &str = "rx-ntuple-filter";

/// A rig that is set up. Dropping it restores the rig.
#[derive(Debug)]
pub struct RigSetup {
    journal: Option<Journal>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Why a rig is not set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// Something of the rig file.
    Refused(Complaint),
    /// Something else.
    Failed(String),
}

impl std::fmt::Display for SetupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SetupError::Refused(complaint) => complaint.fmt(f),
            SetupError::Failed(why) => f.write_str(why),
        }
    }
}

impl RigSetup {
    /// Sets a rig up. Nothing stays changed if this fails.
    ///
    /// # Errors
    ///
    /// [`SetupError`]: another process uses the rig, its file is wrong, or the driver refuses something.
    pub fn new(rig: &Rig) -> Result<Self, SetupError> {
        let mut setup = RigSetup::begin(&rig.nic.interface)?;
        if let Some(complaint) = refusal(rig) {
            return Err(SetupError::Refused(complaint));
        }
        setup.all(rig)?;
        Ok(setup)
    }

    /// Sets up the peer of a rig, on its own host. Nothing stays changed if this fails.
    ///
    /// # Errors
    ///
    /// As [`RigSetup::new`].
    pub fn of_peer(rig: &Rig) -> Result<Self, SetupError> {
        let mut setup = RigSetup::begin(&rig.peer.interface)?;
        if let Some(complaint) = refusal_of_peer(rig) {
            return Err(SetupError::Refused(complaint));
        }
        setup.peer(rig)?;
        Ok(setup)
    }

    /// Locks the rig with this interface, and restores what an earlier run left.
    fn begin(interface: &str) -> Result<Self, SetupError> {
        let (journal, undone) = Journal::begin(interface).map_err(SetupError::Failed)?;
        let mut notes = Vec::new();
        if undone > 0 {
            notes.push(format!("restored {undone} changes of an earlier run that was killed"));
        }
        Ok(RigSetup { journal: Some(journal), notes })
    }

    fn all(&mut self, rig: &Rig) -> Result<(), SetupError> {
        self.rings(rig)?;
        self.rss(rig)?;
        self.rules(rig)?;
        if !rig.peer.elsewhere {
            self.peer(rig)?;
        }
        let (interface, address, prefix) =
            (rig.nic.interface.clone(), rig.nic.address, rig.nic.prefix);
        let index = self.up(Field::Interface, &interface)?;
        self.note(&Undo::Address { interface, address, prefix })?;
        netlink::add_address(index, address, prefix)
            .map_err(|error| driver(Field::Address, "adding the address", &error))
    }

    fn note(&mut self, undo: &Undo) -> Result<(), SetupError> {
        let journal = self.journal.as_mut().ok_or_else(|| failed("the rig is restored"))?;
        journal.note(undo).map_err(SetupError::Failed)
    }

    /// Header split, which a memory provider asks for, and the size of the rings.
    fn rings(&mut self, rig: &Rig) -> Result<(), SetupError> {
        let interface = &rig.nic.interface;
        let settings = Ethtool::of(interface)
            .map_err(|error| driver(Field::Interface, "the ethtool family", &error))?;
        let before = settings.rings().map_err(|error| driver(Field::Ring, "its rings", &error))?;
        let wanted = Rings {
            rx: rig.nic.ring.filter(|ring| before.rx != Some(*ring)),
            tcp_data_split: Some(TCP_DATA_SPLIT_ENABLED),
            hds_thresh: before.hds_thresh.map(|_| 0),
            ..Rings::default()
        };
        let undo = Rings {
            rx: before.rx.filter(|_| wanted.rx.is_some()),
            tcp_data_split: before.tcp_data_split,
            hds_thresh: before.hds_thresh,
            ..Rings::default()
        };
        self.note(&Undo::Rings { interface: interface.clone(), rings: undo })?;
        settings
            .set_rings(&wanted)
            .map_err(|error| driver(Field::Interface, "header split and rings", &error))
    }

    /// No packet without a rule goes to a test's queue.
    fn rss(&mut self, rig: &Rig) -> Result<(), SetupError> {
        let interface = &rig.nic.interface;
        let complain = |error: io::Error| driver(Field::Queues, "receive side scaling", &error);
        let settings = Ethtool::of(interface).map_err(complain)?;
        let before = settings.rss().map_err(complain)?.table;
        let ours = |queue: &u32| rig.nic.queues.contains(queue);
        if !before.iter().any(ours) {
            return Ok(());
        }
        let channels = settings.channels().map_err(complain)?;
        let count = channels.combined.or(channels.rx).unwrap_or(0);
        let others: Vec<u32> = (0..count).filter(|queue| !ours(queue)).collect();
        if others.is_empty() {
            return Err(SetupError::Refused(Complaint::new(
                Field::Queues,
                format!("no queue of {interface} is left for ordinary packets"),
                "leave out one queue at least",
            )));
        }
        let default = before.iter().enumerate().all(|(at, queue)| at as u32 % count == *queue);
        let table: Vec<u32> = (0..before.len()).map(|at| others[at % others.len()]).collect();
        let undo = Undo::Rss { interface: interface.clone(), table: before, default };
        self.note(&undo)?;
        ethtool::set_rss_table(interface, Some(&table)).map_err(complain)
    }

    /// The packets for a port go to its queue.
    fn rules(&mut self, rig: &Rig) -> Result<(), SetupError> {
        let interface = &rig.nic.interface;
        let complain = |error: io::Error| driver(Field::Queues, "a flow rule", &error);
        let settings = Ethtool::of(interface).map_err(complain)?;
        let ntuple = settings.features().map_err(complain)?.get(NTUPLE).copied();
        let ntuple = ntuple.unwrap_or_default();
        if ntuple.changeable && !ntuple.active {
            let (interface, name) = (interface.clone(), NTUPLE.to_owned());
            self.note(&Undo::Feature { interface, name, wanted: ntuple.wanted })?;
            settings.set_feature(NTUPLE, true).map_err(complain)?;
        }
        for (at, queue) in rig.nic.queues.iter().enumerate() {
            let (port, queue) = (rig.port_of(at as u32), *queue);
            self.note(&Undo::Rule { interface: interface.clone(), port, queue })?;
            ethtool::insert_rule(interface, rig.nic.address, port, queue).map_err(complain)?;
        }
        Ok(())
    }

    /// The peer gets a namespace of its own, so that packets to it leave the machine.
    fn peer(&mut self, rig: &Rig) -> Result<(), SetupError> {
        let (interface, name) = (&rig.peer.interface, &rig.peer.namespace);
        let complain = |error: io::Error| driver(Field::PeerInterface, "moving it", &error);
        let link = netlink::link(interface).map_err(complain)?;
        let up = link.flags & libc::IFF_UP as u32 != 0;
        self.note(&Undo::Up { interface: interface.clone(), up })?;
        self.note(&Undo::Namespace { name: name.clone() })?;
        namespace::create(name)
            .map_err(|error| driver(Field::Namespace, "making the namespace", &error))?;
        self.note(&Undo::Moved { interface: interface.clone(), namespace: name.clone() })?;
        let namespace = namespace::open(name).map_err(complain)?;
        let fd = std::os::fd::AsFd::as_fd(&namespace);
        netlink::move_to_namespace(link.index, fd).map_err(complain)?;
        namespace::inside(name, || {
            let index = netlink::link(interface)?.index;
            netlink::change_link(index, &LinkChange { up: Some(true), ..LinkChange::default() })?;
            netlink::add_address(index, rig.peer.address, rig.nic.prefix)
        })
        .map_err(complain)
    }

    /// Brings an interface up; its number.
    fn up(&mut self, field: Field, interface: &str) -> Result<u32, SetupError> {
        let complain = |error: io::Error| driver(field, "bringing it up", &error);
        let link = netlink::link(interface).map_err(complain)?;
        let up = link.flags & libc::IFF_UP as u32 != 0;
        if !up {
            self.note(&Undo::Up { interface: interface.to_owned(), up })?;
            let change = LinkChange { up: Some(true), ..LinkChange::default() };
            netlink::change_link(link.index, &change).map_err(complain)?;
        }
        Ok(link.index)
    }

    /// Restores the rig.
    ///
    /// # Errors
    ///
    /// A message for the user: a change cannot be undone. `ifq rig restore` tries again.
    pub fn restore(mut self) -> Result<(), String> {
        self.journal.take().map_or(Ok(()), |journal| journal.restore())
    }
}

impl Drop for RigSetup {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.journal.take().map(|journal| journal.restore()) {
            errln!("ifq: {error}; `ifq rig restore` tries again");
        }
    }
}

fn failed(why: &str) -> SetupError {
    SetupError::Failed(why.to_owned())
}

/// What a driver refused.
fn driver(field: Field, what: &str, error: &io::Error) -> SetupError {
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied => "run it as root on the rig",
        _ => "`ifq rig check FILE` prints what is missing",
    };
    SetupError::Refused(Complaint::new(field, format!("{what}: {error}"), help))
}
