//! Opens a machine by its name.

#[cfg(target_os = "linux")]
use super::linux::{HardwareRig, Host, Qemu, Uml};
use super::spec::MachineSpec;
use super::{Failure, Machine};

impl MachineSpec {
    /// The machine, with one processor if it is a guest.
    ///
    /// # Errors
    ///
    /// [`Failure::NotRun`] where it cannot be.
    pub fn machine(&self) -> Result<Box<dyn Machine>, Failure> {
        self.machine_with(1)
    }

    /// The machine; this very executable is what runs in it. QEMU gives its guest `cpus` processors.
    ///
    /// # Errors
    ///
    /// [`Failure::NotRun`] where it cannot be.
    #[cfg(target_os = "linux")]
    pub fn machine_with(&self, cpus: u32) -> Result<Box<dyn Machine>, Failure> {
        let ifq = std::env::current_exe()
            .map_err(|error| Failure::NotRun(format!("where ifq itself is: {error}")))?;
        Ok(match self {
            MachineSpec::Host => Box::new(Host::new(&ifq)),
            MachineSpec::Uml => Box::new(Uml::new(&ifq)?),
            MachineSpec::Qemu(series) => Box::new(Qemu::debian(&ifq, *series, cpus)?),
            MachineSpec::QemuNic(series) => Box::new(Qemu::debian(&ifq, *series, cpus)?.with_nic()),
            MachineSpec::Rig(path) => Box::new(HardwareRig::new(&ifq, path)?),
            MachineSpec::Built { name, nic } => {
                let machine = Qemu::built(&ifq, name, cpus)?;
                Box::new(if *nic { machine.with_nic() } else { machine })
            }
            MachineSpec::Kernel(path) => Box::new(Qemu::file(&ifq, path, cpus)),
        })
    }

    /// There is none on a system that is not Linux.
    ///
    /// # Errors
    ///
    /// Always [`Failure::NotRun`].
    #[cfg(not(target_os = "linux"))]
    pub fn machine_with(&self, _: u32) -> Result<Box<dyn Machine>, Failure> {
        Err(Failure::NotRun("this system is not Linux".into()))
    }
}
