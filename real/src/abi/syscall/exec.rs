//! A task of its own that executes another program (`clone(2)`, `execve(2)`).

use std::ffi::CString;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The argument with which this program does nothing and ends. It is what the task executes.
pub const DO_NOTHING: &str = "--do-nothing";
/// Bytes of the stack of the task.
const STACK: usize = 1 << 20;
/// The exit code of a task that could not execute the program.
const FAILED: libc::c_int = 127;

struct Child<'f> {
    before: &'f mut dyn FnMut(),
    program: [*const libc::c_char; 3],
}

/// Runs a function in a new task that shares memory and file table with this process, and then executes
/// another program in it, which ends at once. The calling thread sleeps until the program has been executed
/// (`CLONE_VFORK`), so that the function may use all that belongs to the thread.
///
/// # Errors
///
/// Those of `clone(2)` and `execve(2)`, or that the function panicked.
pub fn execute_in_new_task(before: &mut dyn FnMut()) -> io::Result<()> {
    let path = CString::new("/proc/self/exe")?;
    let argument = CString::new(DO_NOTHING)?;
    let program = [path.as_ptr(), argument.as_ptr(), std::ptr::null()];
    let mut child = Child { before, program };
    let mut stack = vec![0u128; STACK / size_of::<u128>()];
    let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_VFORK | libc::SIGCHLD;
    let top = stack.as_mut_ptr_range().end;
    // SAFETY: the stack and the argument outlive the use of this memory by the task, because this thread
    // sleeps until then; the thread-local data has one user at a time for the same reason.
    let pid =
        unsafe { libc::clone(run_child, top.cast(), flags, std::ptr::from_mut(&mut child).cast()) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut status = 0;
    // SAFETY: the kernel writes one integer.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == FAILED {
        return Err(io::Error::other("the task could not execute a program"));
    }
    Ok(())
}

extern "C" fn run_child(child: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the caller passes a `Child`, and sleeps.
    let child = unsafe { &mut *child.cast::<Child<'_>>() };
    if catch_unwind(AssertUnwindSafe(|| (child.before)())).is_ok() {
        let environment = [std::ptr::null()];
        // SAFETY: both lists end with a null pointer.
        unsafe { libc::execve(child.program[0], child.program.as_ptr(), environment.as_ptr()) };
    }
    // SAFETY: ends the task only, without the destructors of the process.
    unsafe { libc::_exit(FAILED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_runs_in_another_task_with_the_memory_of_this_one() {
        let (mut task, own) = (0, std::process::id());
        execute_in_new_task(&mut || task = std::process::id()).expect("a program");
        assert!(task != 0 && task != own);
    }

    #[test]
    fn a_panic_of_the_function_is_an_error() {
        assert!(execute_in_new_task(&mut || panic!("on purpose")).is_err());
    }
}
