//! State that copies of a specification share until one of them changes it.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// A part of the state. A generator copies the specification for each operation that it considers, and an
/// operation changes few parts.
#[derive(Clone, Debug)]
pub(super) struct Shared<T>(Rc<T>);

impl<T> Shared<T> {
    pub(super) fn new(value: T) -> Self {
        Shared(Rc::new(value))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Rc::make_mut(&mut self.0)
    }
}
