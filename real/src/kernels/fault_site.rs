//! The fault point of the model for a place at which the kernel injected a failure.

use ifq_model::fault::FaultPoint;

/// Functions that allocate or copy for their caller: the place is where they are called.
const HELPERS: [&str; 26] = [
    "dump_stack",
    "should_fail",
    "fail_dump",
    "__should_fail",
    "should_failslab",
    "__kmalloc",
    "kmalloc",
    "__kvmalloc",
    "kvmalloc",
    "kmem_cache_alloc",
    "___kmalloc",
    "__kmem_cache",
    "__alloc_pages",
    "__alloc_frozen_pages",
    "alloc_pages",
    "alloc_frozen_pages",
    "prepare_alloc_pages",
    "__vmalloc",
    "vmalloc",
    "__get_free_pages",
    "get_free_pages",
    "__should_failslab",
    "should_fail_usercopy",
    "should_fail_alloc_page",
    "slab_pre_alloc_hook",
    "__show_stack",
];

/// The rules: the first one whose function is on the stack. The innermost places come first.
const RULES: [(&str, FaultPoint); 22] = [
    ("_copy_to_user", FaultPoint::CopyToUser),
    ("_copy_from_user", FaultPoint::CopyFromUser),
    ("io_create_region", FaultPoint::RegionCreate),
    ("io_allocate_rbuf_ring", FaultPoint::RegionCreate),
    ("io_pin_pages", FaultPoint::AreaImport),
    ("sg_alloc_table_from_pages_segment", FaultPoint::AreaImport),
    ("io_import_umem", FaultPoint::AreaImport),
    ("io_zcrx_append_area", FaultPoint::AreaAppend),
    ("__zcrx_create_area", FaultPoint::AreaAlloc),
    ("zcrx_create_area", FaultPoint::AreaAlloc),
    ("io_zcrx_create_area", FaultPoint::AreaAlloc),
    ("page_pool_create", FaultPoint::PpInit),
    ("netif_mp_open_rxq", FaultPoint::MpOpenRxq),
    ("__net_mp_open_rxq", FaultPoint::MpOpenRxq),
    ("__xa_alloc", FaultPoint::XaAlloc),
    ("xa_store", FaultPoint::XaStore),
    ("__anon_inode_getfile", FaultPoint::AnonInode),
    ("alloc_fd", FaultPoint::GetUnusedFd),
    ("zcrx_send_notif", FaultPoint::NotifAlloc),
    ("io_zcrx_ifq_alloc", FaultPoint::IfqAlloc),
    ("io_clone_zcrx_ifq", FaultPoint::ProxyAlloc),
    ("io_register_zcrx", FaultPoint::IfqAlloc),
];

/// The functions from the place on, the innermost first, without those that every place has.
#[must_use]
pub fn place(stack: &[String]) -> Vec<&str> {
    let is_helper = |name: &&str| HELPERS.iter().any(|helper| name.starts_with(helper));
    let functions = stack.iter().map(|name| name.split('.').next().unwrap_or(name));
    let functions = functions.skip_while(is_helper);
    functions.take_while(|name| !name.contains("_sys_io_uring_register")).collect()
}

/// The fault point of a place. `None`: the model has none there.
///
/// A function that only a rule further down names may contain others: the allocation of the ifq itself is the one that
/// the register call does without any of the functions above.
#[must_use]
pub fn fault_point(stack: &[String]) -> Option<FaultPoint> {
    let place = place(stack);
    // The register call as a whole is a place only if nothing else is called in between.
    let is_on_stack = |name: &str| match name {
        "io_register_zcrx" | "io_clone_zcrx_ifq" => {
            place.first().is_some_and(|first| first.starts_with(name))
        }
        _ => stack.iter().any(|function| function.split('.').next() == Some(name)),
    };
    RULES.iter().find(|(name, _)| is_on_stack(name)).map(|(_, point)| *point)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(functions: &str) -> Vec<String> {
        functions.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_place_is_the_fault_point_of_the_innermost_function_that_the_model_knows() {
        for (functions, point) in [
            (
                "dump_stack_lvl should_fail_ex should_failslab __kmalloc_cache_noprof io_zcrx_ifq_alloc \
                 io_register_zcrx __do_sys_io_uring_register",
                Some(FaultPoint::IfqAlloc),
            ),
            (
                "should_fail_ex __kmalloc_cache_noprof io_register_zcrx.isra.0 __do_sys_io_uring_register",
                Some(FaultPoint::IfqAlloc),
            ),
            (
                "should_fail_ex kmem_cache_alloc_lru_noprof xas_alloc xas_create __xa_alloc io_register_zcrx \
                 __do_sys_io_uring_register",
                Some(FaultPoint::XaAlloc),
            ),
            (
                "should_fail_usercopy _copy_to_user io_register_zcrx __do_sys_io_uring_register",
                Some(FaultPoint::CopyToUser),
            ),
            (
                "should_fail_ex __kvmalloc_node_noprof io_pin_pages io_import_umem __zcrx_create_area \
                 io_register_zcrx __do_sys_io_uring_register",
                Some(FaultPoint::AreaImport),
            ),
            (
                "should_fail_ex __kmalloc_noprof io_alloc_something io_register_zcrx \
                 __do_sys_io_uring_register",
                None,
            ),
            ("should_fail_ex __kmalloc_noprof io_uring_fill_params __do_sys_io_uring_setup", None),
        ] {
            assert_eq!(fault_point(&stack(functions)), point, "{functions}");
        }
        let stack = stack(
            "dump_stack_lvl should_fail_ex should_failslab __kmalloc_cache_noprof io_zcrx_ifq_alloc.cold \
             io_register_zcrx __do_sys_io_uring_register do_syscall_64",
        );
        assert_eq!(place(&stack), ["io_zcrx_ifq_alloc", "io_register_zcrx"]);
    }
}
