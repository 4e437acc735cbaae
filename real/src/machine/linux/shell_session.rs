//! How a guest with a shell is started.

/// How a guest with a shell is started.
pub(super) struct ShellSession<'a> {
    /// Where the archive is from which the guest begins.
    pub(super) initrd: &'a str,
    /// Whether the console is our terminal; else it is standard error, and the answer standard
    /// output.
    pub(super) terminal: bool,
}
