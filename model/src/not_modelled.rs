//! The functions that `io_uring/zcrx.c` has or calls and that are no functions of the model.
//!
//! `tests/tests/fidelity.rs` reads the list below. An item names functions and says that they are part of a
//! function that the model has, that they are simplified (how, and which outcomes that can change), that
//! they are left out (why, and which outcomes that can change), or that they are a construct of C or a
//! calculation without behaviour of its own.
//!
//! # Functions
//! - `io_import_umem`, `io_validate_user_buf_range`, `unpin_user_pages`, `sg_alloc_table_from_pages`,
//!   `sg_free_table`: Part of `io_import_area`.
//! - `io_account_mem`, `io_unaccount_mem`, `io_count_account_pages`, `folio_nr_pages`, `folio_order`, `page_folio`,
//!   `get_uid`, `free_uid`, `mmgrab`, `mmdrop`: Left out: accounts of locked memory. The kernel charges
//!   `ifq->user` and `ifq->mm_account`, which are those of the ring that registered, also for an area that
//!   an importer adds. The limit is the `RLIMIT_MEMLOCK` of the calling task. So an importer can use up the
//!   account of another user, and is refused for an account that is not its own; it is charged nothing if
//!   the registering ring was set up with `CAP_IPC_LOCK`. Outcomes: -ENOMEM of `register` and `add-area`,
//!   which the fault points `area-import` and `region-create` have.
//! - `io_fill_zcrx_offsets`, `io_region_get_ptr`, `io_region_size`, `io_create_region`: Part of
//!   `io_allocate_rbuf_ring`.
//! - `io_free_rbuf_ring`, `io_free_region`: Part of `io_zcrx_ifq_free`.
//! - `io_zcrx_tcp_recvmsg`, `lock_sock`, `release_sock`: Part of `io_zcrx_recv`.
//! - `sock_rps_record_flow`: Left out: steering of flows to processors. No outcome depends on it.
//! - `io_unmap_dmabuf`, `io_release_dmabuf`, `dma_buf_put`,
//!   `dma_buf_attach`, `dma_buf_detach`, `dma_buf_map_attachment_unlocked`,
//!   `dma_buf_unmap_attachment_unlocked`: Left out: dma-buf areas, which need a driver that exports one.
//!   Outcomes: an area of a dma-buf is not in the test language; only the errors of a wrong descriptor are.
//! - `dma_buf_get`: Part of `io_import_dmabuf`.
//! - `io_populate_area_dma`, `io_area_max_shift`, `dma_map_sgtable`, `dma_unmap_sgtable`,
//!   `for_each_sgtable_dma_sg`, `sg_dma_address`, `sg_dma_len`, `net_mp_niov_set_dma_addr`,
//!   `netdev_queue_get_dma_dev`, `get_device`, `put_device`: Simplified: the memory of an area is mapped for
//!   the device or not, as one flag, and mapping it does not fail. Outcomes: the errors of a device without
//!   DMA (-EOPNOTSUPP) and of a failed mapping of `register` and `add-area` do not occur.
//! - `zcrx_sync_for_device`, `io_zcrx_sync_for_device`, `dma_dev_need_sync`, `__dma_sync_single_for_device`,
//!   `page_pool_get_dma_addr_netmem`: Left out: synchronisation of caches with the device. No outcome
//!   depends on it.
//! - `zcrx_validate_notif_stats`, `zcrx_stat_add`: Left out: statistics of copies, which user space reads
//!   from the region. Outcomes: -EINVAL and -ERANGE of `register` for a wrong `stats_offset` with its flag.
//! - `io_pp_nl_fill`, `nla_nest_start`, `nla_nest_end`, `nla_nest_cancel`, `nla_put_uint`: Left out: netlink
//!   reads the state of queues. No operation of the test language depends on it.
//! - `io_copy_page`, `io_zcrx_iov_page`, `folio_test_partial_kmap`, `kmap_local_page`, `kunmap_local`,
//!   `offset_in_page`, `virt_to_page`, `skb_frag_page`: Part of `io_zcrx_copy_chunk`.
//! - `skb_headlen`, `skb_shinfo`, `skb_frag_size`, `skb_frag_off`, `skb_frag_is_net_iov`: Part of
//!   `io_zcrx_recv_skb`.
//! - `skb_walk_frags`: Left out: packets in a frag list. No device of the test language makes one. Outcomes:
//!   how the bytes of a stream are divided into completions, on a device that does.
//! - `io_zcrx_iov_to_area`, `net_iov_owner`, `net_iov_idx`, `net_iov_to_netmem`,
//!   `netmem_to_net_iov`, `netmem_is_net_iov`: Calculation: from a buffer to its area, ifq and index.
//! - `net_mp_niov_set_page_pool`, `net_mp_niov_clear_page_pool`, `net_mp_netmem_place_in_cache`: Part of `io_zcrx_refill_slow`.
//! - `page_pool_fragment_netmem`: Part of `io_alloc_fallback_niov`.
//! - `page_pool_ref_netmem`: Part of `io_zcrx_recv_frag`.
//! - `is_zcrx_entry_marked`, `set_zcrx_entry_mark`: Part of `io_terminate_zcrx`.
//! - `xa_destroy`: Part of `io_unregister_zcrx`.
//! - `xa_for_each`: Part of `io_shutdown_zcrx_ifqs`.
//! - `zcrx_next_area_id`: Part of `zcrx_ctrl_add_area`.
//! - `io_zcrx_unmap_area`: Part of `io_zcrx_unmap_areas`.
//! - `io_zcrx_get_rqe`, `io_zcrx_rqring_entries`, `zcrx_rq_entries`, `__zcrx_rq_entries`, `zcrx_next_rqe`, `zcrx_rq_iter_init`, `zcrx_rq_iter_next`,
//!   `smp_load_acquire`, `smp_store_release`: Part of `io_zcrx_ring_refill`.
//! - `array_index_nospec`: Left out: speculation. No outcome depends on it.
//! - `io_post_aux_cqe`, `io_poison_req`, `kmem_cache_free`: Part of `zcrx_notif_tw`.
//! - `io_req_task_work_add`, `kmem_cache_alloc`: Part of `zcrx_send_notif`.
//! - `capable`: Part of `io_register_zcrx`.
//! - `netdev_lock`, `netdev_unlock`: Part of `io_close_queue`.
//! - `anon_inode_create_getfile`: Part of `zcrx_export`.
//! - `fd_empty`, `fd_file`, `CLASS`: Part of `import_zcrx`.
//! - `fatal_signal_pending`, `cond_resched`: Left out: signals, and giving the processor up in a loop.
//!   Outcomes: a killed task's flush ends early, and its result is not seen.
//! - `kfree`, `kvfree`, `kzalloc_obj`, `kmalloc_objs`, `kvmalloc_objs`, `kvmalloc_array`: Simplified:
//!   allocations fail where a fault point is. Arrays are parts of their object. Outcomes: none; each
//!   allocation that can fail in the kernel has the errno of a fault point.
//! - `atomic_inc`, `atomic_read`, `atomic_set`, `atomic_xchg`, `atomic_try_cmpxchg`, `atomic_dec`: Part of
//!   `io_get_user_counter`.
//! - `mutex_init`, `mutex_destroy`, `spin_lock_init`, `spin_lock_bh`, `spin_unlock_bh`, `guard`, `scoped_guard`, `lockdep_assert`,
//!   `lockdep_assert_held`: Simplified: locks of the platform, without priorities, bottom halves and
//!   interrupts. A softirq is a thread of its own. Outcomes: none is lost; a softirq that runs on the
//!   processor of a lock's holder is one of the interleavings.
//! - `READ_ONCE`, `WRITE_ONCE`: Calculation: one access to shared memory.
//! - `WARN_ON`, `container_of`, `likely`, `unlikely`, `IS_ENABLED`, `IS_ERR`, `PTR_ERR`, `BUILD_BUG_ON`,
//!   `u64_to_user_ptr`, `memcpy`, `memset`, `mem_is_zero`, `min`, `min_t`, `ALIGN`, `IS_ALIGNED`, `ilog2`,
//!   `is_power_of_2`, `roundup_pow_of_two`, `__ffs`, `check_add_overflow`: Calculation: constructs of C.
