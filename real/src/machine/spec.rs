//! The names of machines: what `--on` takes.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use crate::kernel_build;
use crate::kernels::series_number::{NoSeries, Series};
use crate::kernels::supported::Equipment;
use crate::rig::RigFile;

/// Receive queues of the module softnic (`SN_MAX_QUEUES`).
const NIC_QUEUES: u32 = 16;
/// Bytes of a TCP segment on a rig whose packets have the usual size. The rig itself knows its own.
const SEGMENT: u32 = 1448;
/// What a name ends with if the machine has a NIC.
const NIC: &str = "+nic";

/// A machine by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MachineSpec {
    /// The kernel of this host: `host`.
    Host,
    /// User-mode Linux of Debian: `uml`.
    Uml,
    /// Debian's newest kernel of a series in QEMU: `qemu:7.3`.
    Qemu(Series),
    /// The same with the module softnic, a NIC: `qemu:7.3+nic`.
    QemuNic(Series),
    /// A kernel image that the user has built, in QEMU: `kernel:PATH`.
    Kernel(PathBuf),
    /// A kernel that `ifq kernel build` has built, in QEMU: `kernel:NAME`, and `kernel:NAME+nic` with the
    /// module softnic.
    Built {
        /// Its name.
        name: String,
        /// Whether it has the NIC.
        nic: bool,
    },
    /// A machine with a NIC that a file describes: `rig:FILE`.
    Rig(PathBuf),
}

/// Why a text names no machine.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// The word is unknown.
    #[error(
        "no machine is called `{0}`; expected host, uml, qemu:SERIES (such as qemu:7.3), \
         qemu:SERIES+nic, kernel:NAME (see `ifq kernel build`), kernel:PATH (a bzImage or vmlinuz) or \
         rig:FILE (docs/RIGS.md)"
    )]
    Machine(String),
    /// Something other than a NIC is added to a machine.
    #[error("`+{0}` cannot be added to a machine; expected +nic, such as qemu:7.3+nic")]
    Addition(String),
    /// A NIC is added to a machine that cannot have one.
    #[error(
        "{0} cannot have a NIC: the module is built for Debian's kernels and for those of `ifq kernel build`; \
         expected qemu:SERIES+nic, such as qemu:7.3+nic, or kernel:NAME+nic"
    )]
    NoNic(String),
    /// What stands for a series is none.
    #[error("`{0}` is no series of kernels; expected MAJOR.MINOR, such as 7.3")]
    Series(String),
    /// `kernel:` without a name or path.
    #[error(
        "`kernel:` names no kernel; expected kernel:NAME (see `ifq kernel list`) or kernel:PATH, the path of a \
         bzImage or vmlinuz"
    )]
    NoPath,
    /// What comes after `kernel:` is neither a path nor a name.
    #[error("{0}; a path of a kernel image has a `/`")]
    NoName(String),
    /// No kernel of this name has been built.
    #[error(
        "no kernel is called `{name}`; {}; `ifq kernel build` builds one, and the path of an image has a `/`",
        if built.is_empty() { "none is built yet".to_owned() } else { format!("there are: {}", built.join(", ")) }
    )]
    NotBuilt {
        /// The name.
        name: String,
        /// The names of those that are built.
        built: Vec<String>,
    },
    /// `rig:` without a path.
    #[error("`rig:` names no file; expected rig:FILE, a file that docs/RIGS.md describes")]
    NoRig,
    /// The rig file cannot be used.
    #[error("{0}")]
    Rig(String),
    /// The path leads to no file.
    #[error("there is no file {}; expected a kernel image, a bzImage or vmlinuz", .0.display())]
    NoFile(PathBuf),
}

impl From<NoSeries> for ParseError {
    fn from(error: NoSeries) -> Self {
        ParseError::Series(error.0)
    }
}

impl FromStr for MachineSpec {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once(':') {
            None if text == "host" => Ok(MachineSpec::Host),
            None if text == "uml" => Ok(MachineSpec::Uml),
            None if ["host+nic", "uml+nic"].contains(&text) => {
                Err(ParseError::NoNic(text.trim_end_matches(NIC).to_owned()))
            }
            Some(("qemu", series)) => match series.split_once('+') {
                None => Ok(MachineSpec::Qemu(series.parse()?)),
                Some(("", _)) => Err(ParseError::Series(series.to_owned())),
                Some((series, "nic")) => Ok(MachineSpec::QemuNic(series.parse()?)),
                Some((_, addition)) => Err(ParseError::Addition(addition.to_owned())),
            },
            Some(("rig", "")) => Err(ParseError::NoRig),
            Some(("rig", path)) => Ok(MachineSpec::Rig(path.into())),
            Some(("kernel", "")) => Err(ParseError::NoPath),
            Some(("kernel", name)) if !name.contains('/') => {
                let nic = name.ends_with(NIC);
                let name = name.strip_suffix(NIC).unwrap_or(name);
                let name = kernel_build::name(name).map_err(ParseError::NoName)?;
                Ok(MachineSpec::Built { name, nic })
            }
            Some(("kernel", path)) if path.ends_with(NIC) => {
                Err(ParseError::NoNic(text.trim_end_matches(NIC).to_owned()))
            }
            Some(("kernel", path)) => Ok(MachineSpec::Kernel(path.into())),
            _ => Err(ParseError::Machine(text.to_owned())),
        }
    }
}

impl fmt::Display for MachineSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MachineSpec::Host => f.write_str("host"),
            MachineSpec::Uml => f.write_str("uml"),
            MachineSpec::Qemu(series) => write!(f, "qemu:{series}"),
            MachineSpec::QemuNic(series) => write!(f, "qemu:{series}{NIC}"),
            MachineSpec::Kernel(path) => write!(f, "kernel:{}", path.display()),
            MachineSpec::Built { name, nic } => {
                write!(f, "kernel:{name}{}", if *nic { NIC } else { "" })
            }
            MachineSpec::Rig(path) => write!(f, "rig:{}", path.display()),
        }
    }
}

impl MachineSpec {
    /// What the machine has beside its kernel.
    #[must_use]
    pub fn equipment(&self) -> Equipment {
        if let MachineSpec::Rig(path) = self {
            let queues = RigFile::load(path).map_or(0, |file| file.rig.nic.queues.len() as u32);
            return Equipment { queues, segment: Some(SEGMENT), ..Equipment::default() };
        }
        let has_nic =
            matches!(self, MachineSpec::QemuNic(_) | MachineSpec::Built { nic: true, .. });
        let queues = if has_nic { NIC_QUEUES } else { 0 };
        Equipment { queues, ..Equipment::default() }
    }

    /// Parses an argument of the command line; a kernel image must be there.
    ///
    /// # Errors
    ///
    /// [`ParseError`].
    pub fn argument(text: &str) -> Result<Self, ParseError> {
        let on = text.parse()?;
        match &on {
            MachineSpec::Rig(path) => {
                RigFile::load(path).map_err(ParseError::Rig)?;
                Ok(on)
            }
            MachineSpec::Kernel(path) if !path.is_file() => Err(ParseError::NoFile(path.clone())),
            #[cfg(target_os = "linux")]
            MachineSpec::Built { name, .. } => {
                let built = super::linux::built().unwrap_or_default();
                let built: Vec<String> = built.into_iter().map(|kernel| kernel.name).collect();
                let name = name.clone();
                if built.contains(&name) {
                    Ok(on)
                } else {
                    Err(ParseError::NotBuilt { name, built })
                }
            }
            _ => Ok(on),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machines_name_is_read_back_as_it_was_printed() {
        for text in [
            "host",
            "uml",
            "qemu:6.18",
            "qemu:7.10",
            "qemu:7.3+nic",
            "kernel:/boot/vmlinuz-7.3:a",
            "kernel:mine-7.3",
            "kernel:mine+nic",
        ] {
            assert_eq!(text.parse::<MachineSpec>().unwrap().to_string(), text);
        }
        assert_eq!("qemu:7.3".parse(), Ok(MachineSpec::Qemu(Series::new(7, 3))));
    }

    #[test]
    fn what_names_no_machine_is_told_what_was_expected() {
        for (text, says) in [
            ("the-moon", "expected host, uml, qemu:SERIES"),
            ("qemu", "qemu:7.3"),
            ("uml:7.2", "expected host"),
            ("qemu:", "expected MAJOR.MINOR"),
            ("qemu:7", "`7` is no series"),
            ("qemu:7.3.4", "`7.3.4` is no series"),
            ("qemu:+7.3", "is no series"),
            ("qemu:7.99999999999", "is no series"),
            ("kernel:", "expected kernel:NAME"),
            ("kernel:a b", "`a b` is no name"),
            ("kernel:mine+nick", "is no name"),
            ("qemu:7.3+nick", "`+nick` cannot be added to a machine; expected +nic"),
            ("qemu:+nic", "expected MAJOR.MINOR"),
            ("uml+nic", "uml cannot have a NIC"),
            ("host+nic", "expected qemu:SERIES+nic"),
            ("kernel:/boot/vmlinuz+nic", "kernel:/boot/vmlinuz cannot have a NIC: the module"),
        ] {
            let error = text.parse::<MachineSpec>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_kernel_image_on_the_command_line_must_be_there() {
        let error = MachineSpec::argument("kernel:/no/such/bzImage").unwrap_err().to_string();
        assert!(error.contains("/no/such/bzImage") && error.contains("vmlinuz"), "{error}");
        let file = std::env::current_exe().unwrap();
        let text = format!("kernel:{}", file.display());
        assert_eq!(MachineSpec::argument(&text), Ok(MachineSpec::Kernel(file)));
    }

    #[test]
    fn a_name_that_no_kernel_has_is_answered_with_those_that_are_built() {
        let error = MachineSpec::argument("kernel:no-such-kernel").unwrap_err().to_string();
        assert!(error.starts_with("no kernel is called `no-such-kernel`"), "{error}");
        let built = vec!["a".into(), "b".into()];
        let error = ParseError::NotBuilt { name: "c".into(), built }.to_string();
        assert!(error.contains("there are: a, b"), "{error}");
    }

    #[test]
    fn a_machine_with_a_nic_promises_the_queues_of_the_module() {
        let header = include_str!("../../softnic/softnic.h");
        let line = format!("SN_MAX_QUEUES\t{NIC_QUEUES}\n");
        assert!(header.contains(&line), "{line}");
        for (name, queues) in [("qemu:7.3+nic", NIC_QUEUES), ("qemu:7.3", 0), ("uml", 0)] {
            assert_eq!(
                name.parse::<MachineSpec>().unwrap().equipment(),
                Equipment { queues, ..Equipment::default() }
            );
        }
    }
}
