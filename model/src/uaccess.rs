//! Copying to and from user space (`include/linux/uaccess.h`, `lib/usercopy.c`, `fs/userfaultfd.c`).

use crate::errno::EFAULT;
use crate::fault::FaultPoint;
use crate::kernel::Kernel;
use crate::platform::{Platform, Rmw, WaitWord};
use crate::trace::Tracepoint;

/// A `__user` pointer to a structure.
#[derive(Clone, Debug)]
pub enum UserPtr<T> {
    /// Zero.
    Null,
    /// An address that is not mapped.
    Unmapped,
    /// The address of this structure.
    To(T),
}

impl<T> UserPtr<T> {
    /// Whether the pointer is zero.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, UserPtr::Null)
    }
}

/// `copy_from_user` of a register or control argument.
///
/// # Errors
/// -EFAULT if the address is not mapped, and at the fault point.
///
/// Linux: `include/linux/uaccess.h`, 6.18 to 7.3.
pub fn copy_from_user<P: Platform, T>(from: &UserPtr<T>) -> Result<&T, i64> {
    match from {
        UserPtr::To(value) if !P::fault(FaultPoint::CopyFromUser) => Ok(value),
        _ => Err(-EFAULT),
    }
}

/// `copy_to_user` of a register or control argument.
///
/// # Errors
/// -EFAULT at the fault point.
///
/// Linux: `include/linux/uaccess.h`, 6.18 to 7.3.
pub async fn copy_to_user<P: Platform>(kernel: &Kernel<P>) -> Result<(), i64> {
    fault_in_writeable(kernel).await;
    copy_to_user_nofault::<P>()
}

/// `fault_in_writeable`: makes the page present. User space decides how long that takes.
///
/// Linux: `mm/gup.c`, 6.18 to 7.3.
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
/// # Divergence from Linux
/// - Simplified: a page that was faulted in stays present.
///
/// Linux: `mm/maccess.c`, 6.18 to 7.3.
pub fn copy_to_user_nofault<P: Platform>() -> Result<(), i64> {
    if P::fault(FaultPoint::CopyToUser) { Err(-EFAULT) } else { Ok(()) }
}

/// `handle_userfault`: waits until user space supplies the page.
///
/// # Divergence from Linux
/// - Simplified: user space supplies the page when nothing else can run any more.
///
/// Linux: `fs/userfaultfd.c`, 6.18 to 7.3.
async fn handle_userfault<P: Platform>(kernel: &Kernel<P>) {
    let _func = P::func("handle_userfault");
    // This system call waits for user space and not for a lock.
    kernel.syscalls.rmw_in_step(Rmw::Sub(1));
    kernel.user_page.wait_event_timeout(1).await;
    let blocked = kernel.syscalls.rmw_in_step(Rmw::Add(1));
    kernel.trace(&Tracepoint::PageFaultServed { blocked });
}
