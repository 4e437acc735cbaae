//! Goal: the kernel consumes each entry of the refill ring exactly once, with its content and in order.
//! Method: run the producer that `ifq-real` uses on real rings against the kernel's consumer, under loom's
//! weak memory; broken producers must give a violation.
//!
//! The suite does not show that the producer's acquire of `head` is necessary. Without it, the write that
//! reuses a slot could overtake the kernel's read of the old entry. That is load buffering (herd7's
//! `LB+rel+data`), which loom does not explore.

use ifq_model::errno::EAGAIN;
use ifq_model::io_uring::zcrx::refill::{ZCRX_FLUSH_BATCH, zcrx_flush_rq, zcrx_parse_rq};
use ifq_model::mm::RqMem;
use ifq_model::platform::{AtomicWord, Order, PlainWord, Platform, Ptr, RawLock, Rmw};
use ifq_model::user::refill::{RefillRing, refill_push};
use ifq_tests::block_on::block_on;
use ifq_tests::engine::Engine;
use ifq_tests::fixture::IfqFixture;
use ifq_tests::loom_model::{loom_model, loom_violation};
use ifq_tests::loom_platform::Loom;

type Memory = Ptr<Loom, RqMem<Loom>>;

/// Consumes the refill ring once and returns the indices of the buffers.
fn consume(fixture: &IfqFixture<Loom>) -> Vec<u32> {
    block_on(async {
        let _guard = fixture.ifq.rq.lock.lock().await;
        let niovs = zcrx_parse_rq(&fixture.ifq, ZCRX_FLUSH_BATCH).await;
        niovs.iter().map(|niov| niov.idx).collect()
    })
}

/// Delivers `count` buffers to user space and returns their offsets and indices.
fn held(fixture: &IfqFixture<Loom>, count: u32) -> (Vec<u64>, Vec<u32>) {
    (0..count)
        .map(|_| block_on(fixture.deliver_niov()).expect("the area is large enough"))
        .map(|niov| (niov.offset(), niov.idx))
        .unzip()
}

/// A refill ring for a producer whose stores to the indices are all relaxed.
struct RelaxedRing {
    memory: Memory,
    head: Index,
    tail: Index,
}

/// One index of the ring.
enum Index {
    Head(Memory),
    Tail(Memory),
}

impl RelaxedRing {
    fn new(memory: &Memory) -> Self {
        RelaxedRing {
            memory: memory.clone(),
            head: Index::Head(memory.clone()),
            tail: Index::Tail(memory.clone()),
        }
    }
}

impl Index {
    fn word(&self) -> &<Loom as Platform>::Atomic {
        match self {
            Index::Head(memory) => &memory.head,
            Index::Tail(memory) => &memory.tail,
        }
    }
}

impl AtomicWord for Index {
    async fn load(&self, order: Order) -> u64 {
        self.word().load(order).await
    }
    async fn store(&self, value: u64, _order: Order) {
        self.word().store(value, Order::Relaxed).await;
    }
    async fn rmw(&self, op: Rmw, order: Order) -> u64 {
        self.word().rmw(op, order).await
    }
    fn load_in_step(&self) -> u64 {
        self.word().load_in_step()
    }
    fn store_in_step(&self, value: u64) {
        self.word().store_in_step(value);
    }
}

impl RefillRing for RelaxedRing {
    type Word = Index;
    fn head(&self) -> &Index {
        &self.head
    }
    fn tail(&self) -> &Index {
        &self.tail
    }
    fn entries(&self) -> u32 {
        self.memory.entries()
    }
    async fn write(&self, index: u32, off: u64) {
        self.memory.write(index, off).await;
    }
}

#[test]
fn every_entry_arrives_once_in_order_with_its_content() {
    loom_model("refill: one producer, one consumer", || {
        let fixture = block_on(IfqFixture::<Loom>::sound(3, 4));
        let (offs, expected) = held(&fixture, 2);
        let memory = fixture.rq.clone();
        let producer = Loom::spawn(move || {
            for off in offs {
                assert_eq!(block_on(refill_push(&*memory, off)), Ok(()));
            }
        });
        let mut seen = consume(&fixture);
        seen.extend(consume(&fixture));
        Loom::join(producer);
        seen.extend(consume(&fixture));
        assert_eq!(seen, expected);
    });
}

#[test]
fn a_full_ring_refuses_and_a_reused_slot_carries_the_new_entry() {
    loom_model("refill: slots are reused", || {
        let fixture = block_on(IfqFixture::<Loom>::sound(3, 1));
        let (offs, held) = held(&fixture, 2);
        let memory = fixture.rq.clone();
        let pushed = std::rc::Rc::new(Loom::plain("pushed", 0));
        let count = std::rc::Rc::clone(&pushed);
        let producer = Loom::spawn(move || {
            assert_eq!(block_on(refill_push(&*memory, offs[0])), Ok(()));
            match block_on(refill_push(&*memory, offs[1])) {
                Ok(()) => count.set(2),
                Err(errno) => {
                    assert_eq!(errno, -EAGAIN);
                    count.set(1);
                }
            }
        });
        let mut seen = consume(&fixture);
        seen.extend(consume(&fixture));
        Loom::join(producer);
        seen.extend(consume(&fixture));
        let pushed = pushed.get() as usize;
        assert_eq!(seen, held[..pushed]);
    });
}

#[test]
fn a_tail_published_without_release_is_found() {
    let text = loom_violation("refill: relaxed tail", || {
        let fixture = block_on(IfqFixture::<Loom>::sound(3, 4));
        // The first buffer has offset 0, like an entry that was never written.
        let (offs, expected) = held(&fixture, 2);
        let ring = RelaxedRing::new(&fixture.rq);
        let producer = Loom::spawn(move || {
            for off in offs {
                assert_eq!(block_on(refill_push(&ring, off)), Ok(()));
            }
        });
        let mut seen = consume(&fixture);
        Loom::join(producer);
        seen.extend(consume(&fixture));
        assert_eq!(seen, expected, "a stale entry was consumed");
    });
    assert!(text.contains("a stale entry was consumed"), "{text}");
}

/// Two producers return one buffer each while the kernel flushes. Afterwards every buffer is in the free
/// list exactly once.
fn two_producers(locked: bool) {
    let fixture = block_on(IfqFixture::<Loom>::sound(3, 4));
    let (offs, _) = held(&fixture, 2);
    let producers: Vec<_> = offs
        .into_iter()
        .map(|off| {
            let memory = fixture.rq.clone();
            Loom::spawn(move || {
                block_on(async {
                    let _guard =
                        if locked { Some(memory.producer_lock.lock().await) } else { None };
                    assert_eq!(refill_push(&*memory, off).await, Ok(()));
                });
            })
        })
        .collect();
    block_on(zcrx_flush_rq(&fixture.ifq, 0)).expect("no field is reserved");
    producers.into_iter().for_each(Loom::join);
    block_on(zcrx_flush_rq(&fixture.ifq, 0)).expect("no field is reserved");
    assert_eq!(block_on(fixture.drain_freelist()), [0, 1, 2], "a returned buffer was lost");
}

#[test]
fn two_producers_with_a_lock_lose_nothing() {
    loom_model("refill: two producers with a lock", || two_producers(true));
}

#[test]
fn two_producers_without_a_lock_lose_a_buffer() {
    let text = loom_violation("refill: two producers without a lock (S1)", || two_producers(false));
    assert!(text.contains("a returned buffer was lost"), "{text}");
}
