//! proptest strategies for the inputs of [`ifq_sim::generate`].

use ifq_model::test::RingSetup;
use ifq_sim::generate::{Shape, Threads, Word};
use proptest::prelude::*;

/// Shapes with one to three rings and sockets, with and without a device.
pub fn shape() -> impl Strategy<Value = Shape> {
    let setup = prop::sample::select(RingSetup::ALL);
    let setup = prop::option::weighted(0.1, (any::<u8>(), setup));
    (1..=3_u8, 0..=2_u32, setup).prop_flat_map(|(rings, queues, setup)| {
        let queue = prop::option::of(0..queues.max(1)).prop_map(move |q| q.filter(|_| queues > 0));
        prop::collection::vec(queue, 1..=3).prop_map(move |sockets| Shape {
            rings,
            sockets,
            queues,
            setup: setup.map(|(ring, setup)| (ring % rings, setup)),
        })
    })
}

/// Lists of up to `max` operations.
pub fn words(max: usize) -> impl Strategy<Value = Vec<Word>> {
    prop::collection::vec(any::<Word>(), 0..=max)
}

/// Small tests: at most `setup` operations in the set-up and at most `steps` in all threads together.
pub fn threads(setup: usize, steps: usize) -> impl Strategy<Value = Threads> {
    (shape(), words(setup), words(steps), prop::option::of(any::<u32>())).prop_map(
        // Half of the tests have no faults.
        |(shape, setup, steps, faults)| Threads {
            shape,
            setup,
            steps,
            faults: faults.unwrap_or(0),
        },
    )
}
