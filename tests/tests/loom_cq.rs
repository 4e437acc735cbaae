//! Goal: the kernel overwrites an entry of a completion queue only after user space has read it. Method: explore a
//! full queue under loom's weak memory: user space takes an entry while the kernel posts one.

use std::rc::Rc;

use ifq_model::io_uring::cq::{CQ_ENTRIES, Cq, Cqe};
use ifq_tests::block_on::block_on;
use ifq_tests::engine::Engine;
use ifq_tests::loom_model::loom_model;
use ifq_tests::loom_platform::Loom;

fn cqe(user_data: u64) -> Cqe {
    Cqe { user_data, res: 0, more: false, off: 0 }
}

#[test]
fn an_entry_is_not_overwritten_while_user_space_reads_it() {
    let coverage = loom_model("a full completion queue", || {
        let cq = Rc::new(Cq::<Loom>::new(0, None));
        block_on(async {
            for user_data in 0..CQ_ENTRIES {
                assert!(cq.post_uncommitted(cqe(user_data)).await);
            }
            cq.commit().await;
        });
        let other = Rc::clone(&cq);
        let user = Loom::spawn(move || assert_eq!(block_on(other.take()), Some(cqe(0))));
        block_on(cq.post_uncommitted(cqe(CQ_ENTRIES)));
        Loom::join(user);
    });
    assert!(coverage.iterations > 1, "the threads never interleaved");
}
