//! Records what a step does, for the step table.

use ifq_model::platform::Kind;

use super::event::{ObservedEvent, StepEvent};
use super::symbols::{NewWord, SymbolTable};

/// Records the events of one step at a time.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) symbols: SymbolTable,
    pub(crate) events: Vec<ObservedEvent>,
    /// Indices into the symbol table by the machine's numbers in this run.
    words: Vec<u32>,
    objects: Vec<u32>,
    /// A violation has occurred, and whether it follows from the thread's own actions. Later events of the
    /// step are ignored.
    violation_is_local: Option<bool>,
}

impl Recorder {
    /// A recorder for one run.
    pub(crate) fn new(symbols: SymbolTable) -> Self {
        let (events, words, objects) = (Vec::new(), Vec::new(), Vec::new());
        Recorder { symbols, events, words, objects, violation_is_local: None }
    }

    /// Begins a step.
    pub(crate) fn begin(&mut self) {
        self.events.clear();
    }

    /// A violation has occurred; `local`: it follows from the thread's own actions, whatever the memory holds.
    pub(crate) fn record_violation(&mut self, local: bool) {
        self.violation_is_local.get_or_insert(local);
    }

    pub(crate) fn violation_is_local(&self) -> Option<bool> {
        self.violation_is_local
    }

    pub(crate) fn push(&mut self, event: StepEvent) {
        if self.violation_is_local.is_none() {
            self.events.push(ObservedEvent { event, value: None });
        }
    }

    /// The value that the last event has observed.
    pub(crate) fn observed(&mut self, value: u64) {
        if let Some(last_word) =
            self.events.last_mut().filter(|_| self.violation_is_local.is_none())
        {
            last_word.value = Some(value);
        }
    }

    pub(crate) fn word(&self, word: u32) -> u32 {
        self.words[word as usize]
    }

    pub(crate) fn object(&self, object: usize) -> u32 {
        self.objects[object]
    }

    pub(crate) fn new_word(&mut self, new: NewWord, owner: u32, value: u64) {
        let owner = self.objects.get(owner as usize).copied();
        let word = self.symbols.word(new, owner);
        self.words.push(word);
        if value != 0 {
            self.push(StepEvent::New { word, value });
        }
    }

    pub(crate) fn alloc(&mut self, pointer: u64, kind: Kind) {
        let object = self.symbols.object(pointer, kind);
        self.objects.push(object);
        self.push(StepEvent::Alloc { object });
    }
}
