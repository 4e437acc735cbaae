//! Settings of an interface through the netlink family `ethtool`
//! (`include/uapi/linux/ethtool_netlink.h`).

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use super::genetlink::{Attributes, Family, attributes, find, number32, text};

const FEATURES_GET: u8 = 11;
const FEATURES_SET: u8 = 12;
const RINGS_GET: u8 = 15;
const RINGS_SET: u8 = 16;
const CHANNELS_GET: u8 = 17;
const CHANNELS_SET: u8 = 18;
const RSS_GET: u8 = 38;

/// The attribute with the name of the interface, of every request.
const HEADER: u16 = 1;
const HEADER_DEV_NAME: u16 = 2;

const RINGS_RX_MAX: u16 = 2;
const RINGS_RX: u16 = 6;
const RINGS_TX: u16 = 9;
const RINGS_TCP_DATA_SPLIT: u16 = 11;
const RINGS_HDS_THRESH: u16 = 17;

const CHANNELS_COMBINED_MAX: u16 = 5;
const CHANNELS_RX: u16 = 6;
const CHANNELS_TX: u16 = 7;
const CHANNELS_COMBINED: u16 = 9;

const FEATURES_HW: u16 = 2;
const FEATURES_WANTED: u16 = 3;
const FEATURES_ACTIVE: u16 = 4;
const BITSET_BITS: u16 = 3;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;
const BITSET_BITS_BIT: u16 = 1;

const RSS_INDIR: u16 = 4;
const RSS_HKEY: u16 = 5;

/// `ETHTOOL_TCP_DATA_SPLIT_ENABLED`.
pub const TCP_DATA_SPLIT_ENABLED: u8 = 2;

/// Ring sizes and header split. `None`: the driver does not have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rings {
    /// Entries of a receive ring.
    pub rx: Option<u32>,
    /// The most that a receive ring can have.
    pub rx_max: Option<u32>,
    /// Entries of a transmit ring.
    pub tx: Option<u32>,
    /// `ETHTOOL_TCP_DATA_SPLIT_*`: whether headers and payloads are in different buffers.
    pub tcp_data_split: Option<u8>,
    /// Packets up to so many bytes are not split.
    pub hds_thresh: Option<u32>,
}

/// Numbers of queues. `None`: the driver does not have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channels {
    /// Queues that receive only.
    pub rx: Option<u32>,
    /// Queues that transmit only.
    pub tx: Option<u32>,
    /// Queues that do both.
    pub combined: Option<u32>,
    /// The most of these.
    pub combined_max: Option<u32>,
}

/// A feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Whether it can be changed.
    pub changeable: bool,
    /// Whether it was asked for.
    pub wanted: bool,
    /// Whether it is on.
    pub active: bool,
}

/// Receive side scaling.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rss {
    /// The queue for each hash value.
    pub table: Vec<u32>,
    /// The key of the hash function.
    pub key: Vec<u8>,
}

/// The settings of one interface.
#[derive(Debug)]
pub struct Ethtool<'i> {
    family: Family,
    interface: &'i str,
}

impl<'i> Ethtool<'i> {
    /// Of an interface of the network namespace of this thread.
    ///
    /// # Errors
    ///
    /// Those of the kernel: `ENOENT` if it has no ethtool family.
    pub fn of(interface: &'i str) -> io::Result<Self> {
        Ok(Ethtool { family: Family::open("ethtool", 1)?, interface })
    }

    fn request(&self) -> Attributes {
        let name = Attributes::default().text(HEADER_DEV_NAME, self.interface);
        Attributes::default().nest(HEADER, &name)
    }

    /// `None`: the driver does not have it.
    fn get(&self, command: u8) -> io::Result<Option<Vec<u8>>> {
        match self.family.call(command, &self.request()) {
            Ok(answers) => Ok(answers.into_iter().next()),
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ring sizes and header split.
    ///
    /// # Errors
    ///
    /// Those of the kernel: `ENODEV` if there is no such interface.
    pub fn rings(&self) -> io::Result<Rings> {
        let Some(answer) = self.get(RINGS_GET)? else { return Ok(Rings::default()) };
        Ok(Rings {
            rx: number32(&answer, RINGS_RX),
            rx_max: number32(&answer, RINGS_RX_MAX),
            tx: number32(&answer, RINGS_TX),
            tcp_data_split: number32(&answer, RINGS_TCP_DATA_SPLIT).map(|value| value as u8),
            hds_thresh: number32(&answer, RINGS_HDS_THRESH),
        })
    }

    /// Changes what is `Some`, except the maximum.
    ///
    /// # Errors
    ///
    /// Those of the kernel and of the driver.
    pub fn set_rings(&self, rings: &Rings) -> io::Result<()> {
        let mut request = self.request();
        for (kind, value) in
            [(RINGS_RX, rings.rx), (RINGS_TX, rings.tx), (RINGS_HDS_THRESH, rings.hds_thresh)]
        {
            request = value.map_or(request.clone(), |value| request.u32(kind, value));
        }
        if let Some(split) = rings.tcp_data_split {
            request = request.u8(RINGS_TCP_DATA_SPLIT, split);
        }
        self.family.call(RINGS_SET, &request).map(drop)
    }

    /// Numbers of queues.
    ///
    /// # Errors
    ///
    /// As [`Ethtool::rings`].
    pub fn channels(&self) -> io::Result<Channels> {
        let Some(answer) = self.get(CHANNELS_GET)? else { return Ok(Channels::default()) };
        Ok(Channels {
            rx: number32(&answer, CHANNELS_RX),
            tx: number32(&answer, CHANNELS_TX),
            combined: number32(&answer, CHANNELS_COMBINED),
            combined_max: number32(&answer, CHANNELS_COMBINED_MAX),
        })
    }

    /// Changes what is `Some`, except the maximum.
    ///
    /// # Errors
    ///
    /// Those of the kernel and of the driver.
    pub fn set_channels(&self, channels: &Channels) -> io::Result<()> {
        let mut request = self.request();
        for (kind, value) in [
            (CHANNELS_RX, channels.rx),
            (CHANNELS_TX, channels.tx),
            (CHANNELS_COMBINED, channels.combined),
        ] {
            request = value.map_or(request.clone(), |value| request.u32(kind, value));
        }
        self.family.call(CHANNELS_SET, &request).map(drop)
    }

    /// The features by name.
    ///
    /// # Errors
    ///
    /// As [`Ethtool::rings`].
    pub fn features(&self) -> io::Result<BTreeMap<String, Feature>> {
        let mut features: BTreeMap<String, Feature> = BTreeMap::new();
        let Some(answer) = self.get(FEATURES_GET)? else { return Ok(features) };
        let mut mark = |kind: u16, set: fn(&mut Feature, bool)| {
            for (name, value) in bits(&answer, kind) {
                set(features.entry(name).or_default(), value);
            }
        };
        mark(FEATURES_HW, |feature, value| feature.changeable = value);
        mark(FEATURES_WANTED, |feature, value| feature.wanted = value);
        mark(FEATURES_ACTIVE, |feature, value| feature.active = value);
        // A feature that is off everywhere says nothing.
        features.retain(|_, feature| *feature != Feature::default());
        Ok(features)
    }

    /// Asks for a feature, or for being without it.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    pub fn set_feature(&self, name: &str, on: bool) -> io::Result<()> {
        let bit = Attributes::default().text(BIT_NAME, name);
        let bit = if on { bit.flag(BIT_VALUE) } else { bit };
        let bits = Attributes::default().nest(BITSET_BITS_BIT, &bit);
        let bitset = Attributes::default().nest(BITSET_BITS, &bits);
        let request = self.request().nest(FEATURES_WANTED, &bitset);
        self.family.call(FEATURES_SET, &request).map(drop)
    }

    /// Receive side scaling. Without it the table is empty.
    ///
    /// # Errors
    ///
    /// As [`Ethtool::rings`].
    pub fn rss(&self) -> io::Result<Rss> {
        let Some(answer) = self.get(RSS_GET)? else { return Ok(Rss::default()) };
        let table = find(&answer, RSS_INDIR).unwrap_or_default();
        let word = |bytes: &[u8]| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Ok(Rss {
            table: table.chunks_exact(4).map(word).collect(),
            key: find(&answer, RSS_HKEY).unwrap_or_default().to_vec(),
        })
    }
}

/// The bits of a bitset with names.
fn bits(answer: &[u8], kind: u16) -> Vec<(String, bool)> {
    let list = find(answer, kind).and_then(|set| find(set, BITSET_BITS)).unwrap_or_default();
    attributes(list)
        // Without a mask a bit in the list is set; with one its value says so.
        .filter_map(|(_, bit)| Some((text(bit, BIT_NAME)?, bit)))
        .map(|(name, bit)| {
            let masked = find(answer, kind).is_some_and(|set| find(set, 1).is_none());
            (name, !masked || find(bit, BIT_VALUE).is_some())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_features_and_no_rings() {
        let lo = Ethtool::of("lo").unwrap();
        let features = lo.features().unwrap();
        assert!(features["loopback"].active && !features["loopback"].changeable, "{features:?}");
        assert!(features.values().any(|feature| feature.changeable), "{features:?}");
        assert_eq!(lo.rings().unwrap(), Rings::default());
        assert_eq!(lo.channels().unwrap(), Channels::default());
        assert_eq!(lo.rss().unwrap(), Rss::default());
    }

    #[test]
    fn an_interface_that_does_not_exist_is_an_error() {
        let none = Ethtool::of("no-such-if").unwrap();
        let error = none.rings().unwrap_err().to_string();
        assert!(error.starts_with("No such device"), "{error}");
        assert!(none.features().is_err());
    }
}
