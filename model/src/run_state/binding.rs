//! The results that steps bind to names.

use crate::io_uring::uapi::area_offset;
use crate::platform::{Label, PlainWord, Platform, Rmw, WaitWord};

/// The result of a step under its name.
#[derive(Debug)]
pub struct Binding<P: Platform> {
    /// 1 when bound. Raised only if another thread waits for it.
    ready: P::WaitQueue,
    shared: bool,
    set: P::Plain,
    result: P::Plain,
    /// The buffer of a completion; zero for other results.
    pub buffer: HeldBuffer<P>,
}

/// What an application remembers of a completion with a buffer.
#[derive(Debug)]
pub struct HeldBuffer<P: Platform> {
    /// `off` plus one; 0: the completion has no buffer.
    pub off: P::Plain,
    /// The step that made the area of the buffer, plus one; 0: no buffer.
    pub area: P::Plain,
    /// The position in the stream of the first byte of the buffer.
    pub seq: P::Plain,
    /// The step that submitted the request, plus one; 0: no buffer.
    pub request: P::Plain,
    /// 1 when the application has returned the buffer.
    pub returned: P::Atomic,
}

impl<P: Platform> HeldBuffer<P> {
    fn new() -> Self {
        HeldBuffer {
            off: P::plain(Label::plain("result.off").names_buffer(area_offset(1)), 0),
            area: P::plain(Label::step("result.area", 1), 0),
            seq: P::plain("result.seq", 0),
            request: P::plain(Label::step("result.request", 1), 0),
            returned: P::atomic("result.returned", 0),
        }
    }

    /// The step that made the area of the buffer.
    #[must_use]
    pub fn area_step(&self) -> Option<usize> {
        Some(self.area.get().checked_sub(1)? as usize)
    }

    /// The step that submitted the request.
    #[must_use]
    pub fn request_step(&self) -> Option<usize> {
        Some(self.request.get().checked_sub(1)? as usize)
    }
}

impl<P: Platform> Binding<P> {
    /// An unbound name. `shared`: another thread waits for it.
    #[must_use]
    pub(super) fn new(shared: bool) -> Self {
        Binding {
            ready: P::wait_queue("bound", 0),
            shared,
            set: P::plain("bound", 0),
            result: P::plain("result", 0),
            buffer: HeldBuffer::new(),
        }
    }

    /// Binds a result, and wakes the threads that wait for it.
    pub async fn bind(&self, result: i64) {
        self.result.set(result.cast_unsigned());
        self.set.set(1);
        if self.shared {
            self.ready.rmw(Rmw::Add(1)).await;
        }
    }

    /// Waits until the name is bound. `own`: the caller's thread binds it, so it is bound.
    pub(super) async fn wait(&self, own: bool) -> i64 {
        if self.shared && !own {
            self.ready.wait_event(1).await;
        }
        self.result.get().cast_signed()
    }

    /// The result. Only while nothing else runs.
    pub(super) fn result(&self) -> Option<i64> {
        (self.set.get() != 0).then(|| self.result.get().cast_signed())
    }
}
