//! How the machines are started on Linux, and the kernels and tools that they need.

mod apt;
mod build_root;
mod busybox;
mod cache;
mod debian_kernel;
mod elf;
mod fnv;
mod guest_channel;
mod guest_process;
mod guest_root;
mod host;
mod initramfs;
mod inventory;
mod kernel_build;
mod kvm;
mod old_packages;
mod process;
mod provenance;
mod qemu;
mod qemu_binary;
mod retry;
mod rig;
mod shell;
mod shell_session;
mod softnic;
mod ssh_guest;
mod uml;

pub use host::Host;
pub use inventory::{MachineStatus, fetch, inventory};
pub use kernel_build::{
    BuildProgress, BuiltKernel, Plan, build, built, clear_coverage, coverage, inlined, plan,
};
pub use process::{interrupt_flag, interrupted};
pub use qemu::{Control, Qemu};
pub use rig::{HardwareRig, ask as ask_rig};
pub use shell::shell;
pub use ssh_guest::ssh_guest;
pub use uml::Uml;
