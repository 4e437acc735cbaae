//! Copying to and from user space (`include/linux/uaccess.h`).

use crate::errno::EFAULT;
use crate::fault::FaultPoint;
use crate::invariant::Invariant;
use crate::kernel::Kernel;
use crate::platform::{Platform, Rmw, WaitWord};

/// `copy_from_user` of a register or control argument. `readable`: whether its address is.
///
/// # Errors
/// -EFAULT if it is not, and at the fault point.
pub fn copy_from_user<P: Platform>(readable: bool) -> Result<(), i64> {
    if !readable || P::fault(FaultPoint::CopyFromUser) { Err(-EFAULT) } else { Ok(()) }
}

/// `copy_to_user` of a register or control argument.
///
/// # Errors
/// -EFAULT at the fault point.
pub async fn copy_to_user<P: Platform>(kernel: &Kernel<P>) -> Result<(), i64> {
    fault_in_writeable(kernel).await;
    copy_to_user_nofault::<P>()
}

/// `fault_in_writeable`: makes the page present, which may take as long as user space likes.
pub async fn fault_in_writeable<P: Platform>(kernel: &Kernel<P>) {
    if P::fault(FaultPoint::PageFaultWaits) {
        handle_userfault(kernel).await;
    }
}

/// `copy_to_user_nofault`.
///
/// # Errors
/// -EFAULT at the fault point.
///
/// Divergence from Linux: a page that was faulted in stays present.
pub fn copy_to_user_nofault<P: Platform>() -> Result<(), i64> {
    if P::fault(FaultPoint::CopyToUser) { Err(-EFAULT) } else { Ok(()) }
}

/// `handle_userfault`: user space supplies the page when it likes. It does so when nothing else can
/// run any more; a system call that has not ended by then stands still at its will (I4).
async fn handle_userfault<P: Platform>(kernel: &Kernel<P>) {
    let _func = P::func("handle_userfault");
    // This task stands still by its own wish.
    kernel.syscalls.rmw_in_step(Rmw::Sub(1));
    kernel.user_page.wait_event_timeout(1).await;
    if kernel.syscalls.rmw_in_step(Rmw::Add(1)) != 0 {
        P::violation(
            Invariant::I4,
            format_args!(
                "another task's system call waits for a lock that is held over a page fault, for \
                 as long as user space likes"
            ),
        );
    }
}
