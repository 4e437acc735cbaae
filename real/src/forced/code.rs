//! The machine code of kernel functions: calls and atomic instructions.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, OpKind};

/// An instruction that a place can be at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    /// Its address.
    pub(crate) at: u64,
    /// The address of the instruction after it.
    pub(crate) next: u64,
    /// What it does.
    pub(crate) what: What,
}

/// What an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Calls a function, or jumps to it as its last act.
    Call { target: u64, tail: bool },
    /// Changes memory atomically; `displacement` from a register, as of a field of an object.
    Atomic { displacement: u64 },
}

/// The calls and atomic instructions of a function whose code starts at `start`.
pub(crate) fn sites(code: &[u8], start: u64) -> Vec<Site> {
    let end = start + code.len() as u64;
    let decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    decoder
        .into_iter()
        .filter_map(|instruction| {
            let what = what(&instruction, start..end)?;
            Some(Site { at: instruction.ip(), next: instruction.next_ip(), what })
        })
        .collect()
}

fn what(instruction: &Instruction, own: std::ops::Range<u64>) -> Option<What> {
    match instruction.flow_control() {
        FlowControl::Call => {
            return Some(What::Call { target: instruction.near_branch_target(), tail: false });
        }
        FlowControl::UnconditionalBranch => {
            let target = instruction.near_branch_target();
            let leaves = target != 0 && !own.contains(&target);
            return leaves.then_some(What::Call { target, tail: true });
        }
        _ => {}
    }
    let exchanges = matches!(
        instruction.code(),
        Code::Xchg_rm8_r8 | Code::Xchg_rm16_r16 | Code::Xchg_rm32_r32 | Code::Xchg_rm64_r64
    );
    let in_memory = (0..instruction.op_count()).any(|i| instruction.op_kind(i) == OpKind::Memory);
    let atomic = in_memory && (instruction.has_lock_prefix() || exchanges);
    atomic.then(|| What::Atomic { displacement: instruction.memory_displacement64() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_tail_calls_and_atomic_instructions_are_found_and_others_are_not() {
        let code = [
            &[0xe8, 0xfb, 0x00, 0x00, 0x00][..], // call 0x1100
            &[0xf0, 0xff, 0x4b, 0x40],           // lock dec dword [rbx+0x40]
            &[0x87, 0x07],                       // xchg [rdi], eax
            &[0x87, 0xd8],                       // xchg eax, ebx
            &[0xff, 0x4b, 0x40],                 // dec dword [rbx+0x40]
            &[0xeb, 0xfb],                       // jmp within the function
            &[0xe9, 0xe9, 0x01, 0x00, 0x00],     // jmp 0x1200
        ]
        .concat();
        let site = |at, next, what| Site { at, next, what };
        assert_eq!(
            sites(&code, 0x1000),
            [
                site(0x1000, 0x1005, What::Call { target: 0x1100, tail: false }),
                site(0x1005, 0x1009, What::Atomic { displacement: 0x40 }),
                site(0x1009, 0x100b, What::Atomic { displacement: 0 }),
                site(0x1012, 0x1017, What::Call { target: 0x1200, tail: true }),
            ]
        );
    }
}
