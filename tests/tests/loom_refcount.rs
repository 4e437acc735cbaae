//! Goal: exactly one holder frees an object, and no holder accesses it afterwards. Method: explore the
//! kernel's reference counts on an object whose payload each holder writes before its put, under loom's
//! weak memory; broken counts must give a violation.

use ifq_model::platform::{AtomicWord, Kind, Order, PlainWord, Platform, Rmw};
use ifq_model::prim::percpu_ref::PercpuRef;
use ifq_model::prim::refcount::Refcount;
use ifq_tests::block_on::block_on;
use ifq_tests::engine::Engine;
use ifq_tests::loom_model::{loom_model, loom_violation};
use ifq_tests::loom_platform::Loom;

struct Counted {
    refs: Refcount<Loom>,
    // One word for each holder, so that the holders share only the count.
    payload: Vec<<Loom as Platform>::Plain>,
}

type Object = <Loom as Platform>::Ptr<Counted>;

fn counted(holders: u64) -> Object {
    Loom::alloc(Kind::Ifq, 0, || Counted {
        refs: Refcount::new("refs", holders),
        payload: (0..holders).map(|_| Loom::plain("payload", 0)).collect(),
    })
}

/// Writes to the object, then drops a reference. The last holder checks the writes of all holders.
fn use_and_put(object: &Object, holder: usize) {
    object.payload[holder].set(1);
    if block_on(object.refs.dec_and_test()) {
        let sum: u64 = object.payload.iter().map(PlainWord::get).sum();
        assert_eq!(sum, object.payload.len() as u64, "a holder's last write is missing");
        Loom::free(object);
    }
}

fn put_by(holders: usize) {
    let object = counted(holders as u64);
    let others: Vec<_> = (1..holders)
        .map(|holder| {
            let object = object.clone();
            Loom::spawn(move || use_and_put(&object, holder))
        })
        .collect();
    use_and_put(&object, 0);
    others.into_iter().for_each(Loom::join);
    assert_eq!(Loom::live(Kind::Ifq), 0, "I3: no holder freed it");
}

#[test]
fn the_last_of_two_holders_frees() {
    loom_model("refcount: two puts", || put_by(2));
}

#[test]
fn the_last_of_four_holders_frees() {
    loom_model("refcount: four puts", || put_by(4));
}

#[test]
fn a_put_without_release_and_acquire_is_found() {
    let text = loom_violation("refcount: relaxed puts", || {
        let object =
            Loom::alloc(Kind::Ifq, 0, || (Loom::atomic("refs", 2), Loom::plain("payload", 0)));
        let put = |object: &<Loom as Platform>::Ptr<_>| {
            let (refs, payload): &(<Loom as Platform>::Atomic, <Loom as Platform>::Plain) = object;
            payload.get();
            if block_on(refs.rmw(Rmw::Sub(1), Order::Relaxed)) == 1 {
                Loom::free(object);
            }
        };
        let other = object.clone();
        let thread = Loom::spawn(move || put(&other));
        put(&object);
        Loom::join(thread);
    });
    assert!(text.contains("I1: "), "{text}");
}

#[test]
fn one_put_too_many_is_i2() {
    let text = loom_violation("refcount: three puts of two", || {
        let refs = std::rc::Rc::new(Refcount::<Loom>::new("refs", 2));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let refs = std::rc::Rc::clone(&refs);
                Loom::spawn(move || {
                    block_on(refs.dec_and_test());
                })
            })
            .collect();
        block_on(refs.dec_and_test());
        others.into_iter().for_each(Loom::join);
    });
    assert!(text.contains("I2: refcount_t: underflow"), "{text}");
}

#[test]
fn inc_not_zero_never_revives_a_released_object() {
    // fget() against the last fput(): the file's memory stays allocated, but the file is released.
    loom_model("refcount: inc_not_zero against the last put", || {
        let refs =
            std::rc::Rc::new((Refcount::<Loom>::new("f_count", 1), Loom::wait_queue("ended", 0)));
        let other = std::rc::Rc::clone(&refs);
        let end = |refs: &(Refcount<Loom>, <Loom as Platform>::WaitQueue)| {
            use ifq_model::platform::WaitWord;
            if block_on(refs.0.dec_and_test()) {
                assert_eq!(block_on(refs.1.rmw(Rmw::Add(1))), 0, "released twice");
            }
        };
        let closer = Loom::spawn(move || end(&other));
        if block_on(refs.0.inc_not_zero()) {
            end(&refs);
        }
        Loom::join(closer);
        assert_eq!(block_on(refs.0.read()), 0);
    });
}

#[test]
fn a_killed_percpu_ref_is_released_exactly_once() {
    loom_model("percpu_ref: kill, switch and two puts", || {
        let refs = std::rc::Rc::new((PercpuRef::<Loom>::new("refs"), Loom::atomic("released", 0)));
        for _ in 0..2 {
            block_on(refs.0.get());
        }
        let release = |refs: &(PercpuRef<Loom>, <Loom as Platform>::Atomic)| {
            assert_eq!(block_on(refs.1.rmw(Rmw::Add(1), Order::Full)), 0, "released twice");
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let refs = std::rc::Rc::clone(&refs);
                Loom::spawn(move || {
                    if block_on(refs.0.put()) {
                        release(&refs);
                    }
                })
            })
            .collect();
        block_on(refs.0.kill());
        if block_on(refs.0.switch_to_atomic_rcu()) {
            release(&refs);
        }
        others.into_iter().for_each(Loom::join);
        assert_eq!(block_on(refs.1.load(Order::Acquire)), 1, "never released");
    });
}

#[test]
fn the_release_of_a_percpu_ref_sees_the_writes_of_all_holders() {
    type Shared = (PercpuRef<Loom>, <Loom as Platform>::Plain);
    loom_model("percpu_ref: kill, switch and a put after a write", || {
        let refs: std::rc::Rc<Shared> =
            std::rc::Rc::new((PercpuRef::new("refs"), Loom::plain("payload", 0)));
        block_on(refs.0.get());
        let read = |refs: &Shared| assert_eq!(refs.1.get(), 1, "the holder's write is missing");
        let holder = std::rc::Rc::clone(&refs);
        let holder = Loom::spawn(move || {
            holder.1.set(1);
            if block_on(holder.0.put()) {
                read(&holder);
            }
        });
        block_on(refs.0.kill());
        if block_on(refs.0.switch_to_atomic_rcu()) {
            read(&refs);
        }
        Loom::join(holder);
    });
}
