//! The registers of a vCPU in the order of QEMU's target description `i386-64bit.xml`.

/// A register that the controller reads or writes, by its offset in the packet `g`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Reg {
    Rax = 0,
    Rdx = 24,
    Rdi = 40,
    Rsp = 56,
    Rip = 128,
    /// The base of the segment `gs`: in the kernel, of the per-CPU variables.
    GsBase = 172,
}

/// Offset of the flags, which have 32 bits.
const EFLAGS: usize = 136;
/// Offset of the code segment's selector.
const CS: usize = 140;
/// The flag that enables interrupts.
const INTERRUPTS: u32 = 1 << 9;
/// Number of bytes that are needed.
const LEN: usize = 180;

/// All registers of a vCPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registers(Vec<u8>);

impl Registers {
    /// The registers in the bytes of a packet `g`.
    pub(super) fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= LEN).then_some(Registers(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value of a register.
    pub(crate) fn get(&self, reg: Reg) -> u64 {
        let at = reg as usize;
        self.0[at..at + 8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    /// The registers with another value of one.
    pub(crate) fn with(mut self, reg: Reg, value: u64) -> Self {
        self.0[reg as usize..reg as usize + 8].copy_from_slice(&value.to_le_bytes());
        self
    }

    /// The registers with the general-purpose ones, the instruction pointer and the flags of others.
    pub(crate) fn with_general_of(mut self, other: &Registers) -> Self {
        self.0[..CS].copy_from_slice(&other.0[..CS]);
        self
    }

    fn word(&self, at: usize) -> u32 {
        self.0[at..at + 4].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
    }

    /// Whether the vCPU executes the kernel.
    pub(crate) fn in_kernel(&self) -> bool {
        self.word(CS) & 3 == 0
    }

    /// Whether interrupts are enabled.
    pub(crate) fn interrupts_enabled(&self) -> bool {
        self.word(EFLAGS) & INTERRUPTS != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_has_its_place_and_the_others_keep_their_values() {
        let mut bytes: Vec<u8> = (0..=255).collect();
        bytes[EFLAGS + 1] = 2;
        bytes[CS] = 0x10;
        let registers = Registers::new(bytes.clone()).unwrap();
        assert_eq!(registers.get(Reg::Rdx), 0x1f1e_1d1c_1b1a_1918);
        assert_eq!(registers.get(Reg::GsBase) & 0xff, 172);
        assert!(registers.in_kernel() && registers.interrupts_enabled());
        let changed = registers.clone().with(Reg::Rip, 7);
        assert_eq!(changed.get(Reg::Rip), 7);
        assert_eq!(changed.with(Reg::Rip, registers.get(Reg::Rip)), registers);
        let other = Registers::new(vec![1; LEN]).unwrap();
        let mixed = registers.clone().with_general_of(&other);
        assert_eq!(mixed.get(Reg::Rip), other.get(Reg::Rip));
        assert_eq!(mixed.get(Reg::GsBase), registers.get(Reg::GsBase));
        assert_eq!(Registers::new(bytes[..LEN - 1].to_vec()), None);
    }
}
