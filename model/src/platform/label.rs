//! Names of words, and what symmetry reduction must know of their values.
//!
//! The code that makes a word declares both together. An engine without symmetry reduction uses
//! the name only.

/// What the values of a word refer to. A permutation of rings, connections and threads maps such a
/// value to the value of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueSort {
    /// To nothing: a number, or a flag.
    Plain,
    /// To an object: its pointer, from this bit on. Zero is no pointer.
    Pointer {
        /// Lowest bit of the pointer.
        shift: u32,
    },
    /// To a step of the test: its position plus `offset`.
    Step {
        /// 1 where zero means "no step", otherwise 0.
        offset: u64,
    },
    /// To a connection: its number plus one. Zero is no connection.
    Socket,
}

/// How a value contains the index of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferIndex {
    /// Added to the value, so that zero names no buffer.
    pub offset: u64,
    /// Lowest bit of the index.
    pub shift: u32,
    /// Width of the index in bits.
    pub bits: u32,
}

/// The relation of a word to the buffers of an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferRole {
    /// None.
    None,
    /// Each buffer has one word with this name, in the order of the buffers.
    PerBuffer,
    /// The value names a buffer.
    Names(BufferIndex),
}

/// The name of a word and the sort of its values. A plain `&str` is a label of [`ValueSort::Plain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// The kernel's field name, for reports.
    pub name: &'static str,
    /// What the values refer to.
    pub sort: ValueSort,
    /// The relation to buffers.
    pub buffers: BufferRole,
}

impl Label {
    const fn of(name: &'static str, sort: ValueSort) -> Self {
        Label { name, sort, buffers: BufferRole::None }
    }

    /// A word with plain values.
    #[must_use]
    pub const fn plain(name: &'static str) -> Self {
        Label::of(name, ValueSort::Plain)
    }

    /// A word that holds a pointer from bit `shift` on.
    #[must_use]
    pub const fn pointer(name: &'static str, shift: u32) -> Self {
        Label::of(name, ValueSort::Pointer { shift })
    }

    /// A word that holds the position of a step plus `offset`.
    #[must_use]
    pub const fn step(name: &'static str, offset: u64) -> Self {
        Label::of(name, ValueSort::Step { offset })
    }

    /// A word that holds the number of a connection plus one.
    #[must_use]
    pub const fn socket(name: &'static str) -> Self {
        Label::of(name, ValueSort::Socket)
    }

    /// The same label for a word that each buffer has.
    #[must_use]
    pub const fn per_buffer(self) -> Self {
        Label { buffers: BufferRole::PerBuffer, ..self }
    }

    /// The same label for a word whose value names a buffer.
    #[must_use]
    pub const fn names_buffer(self, index: BufferIndex) -> Self {
        Label { buffers: BufferRole::Names(index), ..self }
    }
}

impl From<&'static str> for Label {
    fn from(name: &'static str) -> Self {
        Label::plain(name)
    }
}
