//! Objects of the model: the owner of a word, the life of an object, pointers stored in words.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::thread::LocalKey;

use ifq_model::invariant::Invariant;
use ifq_model::platform::{Kind, ObjPtr};

use crate::engine::raise;

/// A race-checked witness of an object's life: every access reads it, and the free writes it. So a free
/// that is not ordered after every access is reported even if it comes last in this execution.
pub trait Life: fmt::Debug + 'static {
    /// The witness of a new object.
    fn begin() -> Self;
    /// Records a use. `Err`: the use races with the free.
    fn touch(&self) -> Result<(), ()>;
    /// Records the free. `Err`: the free races with a use.
    fn end(&self) -> Result<(), ()>;
}

/// The part of an object that all its words share.
#[derive(Debug)]
pub(crate) struct Header<L> {
    kind: Kind,
    number: u32,
    freed: Cell<bool>,
    life: L,
}

impl<L: Life> Header<L> {
    fn touch(&self, label: &str) {
        let name = self.kind.name();
        if self.freed.get() {
            raise(Invariant::I1, format_args!("{name}{}.{label} used after free", self.number));
        } else if self.life.touch().is_err() {
            raise(
                Invariant::I1,
                format_args!("{name}{}.{label}: use races with the free", self.number),
            );
        }
    }

    fn end(&self) {
        let name = self.kind.name();
        if self.freed.replace(true) {
            raise(Invariant::I2, format_args!("{name}{} freed twice", self.number));
        } else if self.life.end().is_err() {
            raise(Invariant::I1, format_args!("{name}{}: the free races with a use", self.number));
        }
    }
}

/// The owner of a word: the object under construction when the word was made.
#[derive(Clone, Debug)]
pub(crate) struct Owner<L> {
    label: &'static str,
    header: Option<Rc<Header<L>>>,
}

impl<L: Life> Owner<L> {
    /// The owner of a new word.
    pub(crate) fn of_new_word(store: Objects<L>, label: &'static str) -> Self {
        Owner { label, header: store.with_borrow(|s| s.under_construction.last().cloned()) }
    }

    /// Records an access to the word. Call it before each access.
    pub(crate) fn touch(&self) {
        if let Some(header) = &self.header {
            header.touch(self.label);
        }
    }

    /// The word's name.
    pub(crate) fn label(&self) -> &'static str {
        self.label
    }
}

#[derive(Debug)]
struct Object<T, L> {
    header: Rc<Header<L>>,
    word: u64,
    value: T,
}

/// A pointer to an object.
#[derive(Debug)]
pub struct Handle<T, L>(Rc<Object<T, L>>);

impl<T, L> Clone for Handle<T, L> {
    fn clone(&self) -> Self {
        Handle(Rc::clone(&self.0))
    }
}

impl<T, L> Deref for Handle<T, L> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: 'static, L: 'static> ObjPtr<T> for Handle<T, L> {
    fn to_word(&self) -> u64 {
        self.0.word
    }
}

/// All objects of one execution. A thread-local store suffices, because an engine's threads are
/// coroutines of one OS thread.
#[derive(Debug)]
pub struct Store<L> {
    objects: Vec<Rc<dyn Any>>,
    headers: Vec<Rc<Header<L>>>,
    under_construction: Vec<Rc<Header<L>>>,
}

/// An engine's [`Store`].
pub(crate) type Objects<L> = &'static LocalKey<RefCell<Store<L>>>;

impl<L: Life> Store<L> {
    pub(crate) const fn new() -> Self {
        Store { objects: Vec::new(), headers: Vec::new(), under_construction: Vec::new() }
    }

    pub(crate) fn live(&self, kind: Kind) -> usize {
        self.headers.iter().filter(|h| h.kind == kind && !h.freed.get()).count()
    }
}

/// Drops all objects at the start of a new execution.
pub(crate) fn reset<L: Life>(store: Objects<L>) {
    // Drop outside the borrow, because an object may hold pointers to others.
    drop(store.replace(Store::new()));
}

/// `Platform::alloc`.
pub(crate) fn alloc<T: 'static, L: Life>(
    store: Objects<L>,
    kind: Kind,
    number: u32,
    make: impl FnOnce() -> T,
) -> Handle<T, L> {
    let header = Rc::new(Header { kind, number, freed: Cell::new(false), life: L::begin() });
    store.with_borrow_mut(|s| s.under_construction.push(Rc::clone(&header)));
    let value = make();
    store.with_borrow_mut(|s| {
        s.under_construction.pop();
        s.headers.push(Rc::clone(&header));
        let word = s.headers.len() as u64;
        let object = Rc::new(Object { header, word, value });
        s.objects.push(object.clone());
        Handle(object)
    })
}

/// `Platform::free`.
pub(crate) fn free<T, L: Life>(handle: &Handle<T, L>) {
    handle.0.header.end();
}

/// `Platform::from_word`.
pub(crate) fn from_word<T: 'static, L: Life>(store: Objects<L>, word: u64) -> Option<Handle<T, L>> {
    let index = usize::try_from(word.checked_sub(1)?).ok()?;
    let object = store.with_borrow(|s| s.objects.get(index).cloned())?;
    object.downcast().ok().map(Handle)
}
