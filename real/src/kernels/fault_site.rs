//! The fault point of the model for a place at which the kernel injected a failure.

use std::collections::BTreeMap;

use ifq_model::fault::FaultPoint;

/// Functions that allocate or copy for their caller: the place is where they are called.
const HELPERS: [&str; 28] = [
    "dump_stack",
    "__dump_stack",
    "slab_alloc_node",
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

/// A system call that registers, shares or controls an ifq, whatever the compiler has made of its name.
const REGISTER: &str = "_sys_io_uring_register";
/// A system call that runs requests. The only fault point of the model in it is the allocation of an event.
const ENTER: &str = "_sys_io_uring_enter";

/// The functions of a stack, the innermost first: its places (`FUNCTION+0xOFFSET`) with what is inlined there.
#[must_use]
pub fn functions(stack: &[String], inlined: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let functions = stack.iter().flat_map(|place| match inlined.get(place) {
        Some(functions) => functions.clone(),
        None => vec![place.split('+').next().unwrap_or(place).to_owned()],
    });
    functions.map(|name| name.split('.').next().unwrap_or(&name).to_owned()).collect()
}

/// The functions from the place on, the innermost first, without those that every place has.
#[must_use]
pub fn place(functions: &[String]) -> Vec<&str> {
    let is_helper = |name: &&str| HELPERS.iter().any(|helper| name.starts_with(helper));
    let is_call = |name: &&str| [REGISTER, ENTER].iter().any(|call| name.contains(call));
    let functions = functions.iter().map(String::as_str).skip_while(is_helper);
    functions.take_while(|name| !is_call(name)).collect()
}

/// The fault point of a place. `None`: the model has none there.
///
/// A function that only a rule further down names may contain others: the allocation of the ifq itself is the one that
/// the register call does without any of the functions above.
#[must_use]
pub fn fault_point(functions: &[String]) -> Option<FaultPoint> {
    let place = place(functions);
    // The register call as a whole is a place only if nothing else is called in between.
    let is_on_stack = |name: &str| match name {
        "io_register_zcrx" | "io_clone_zcrx_ifq" => {
            place.first().is_some_and(|first| first.starts_with(name))
        }
        _ => functions.iter().any(|function| function == name),
    };
    let runs_requests = functions.iter().any(|name| name.contains(ENTER));
    let mut rules =
        RULES.iter().filter(|(_, point)| !runs_requests || *point == FaultPoint::NotifAlloc);
    rules.find(|(name, _)| is_on_stack(name)).map(|(_, point)| *point)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(places: &str) -> Vec<String> {
        let places: Vec<String> = places.split(' ').map(|name| format!("{name}+0x1")).collect();
        functions(&places, &BTreeMap::new())
    }

    #[test]
    fn an_inlined_function_decides_which_fault_point_a_place_is() {
        let stack: Vec<String> =
            ["__kmalloc_noprof+0x1", "io_register_zcrx+0x9", "__do_sys_io_uring_register+0x1"]
                .map(str::to_owned)
                .into();
        let inlined = BTreeMap::from([(
            "io_register_zcrx+0x9".to_owned(),
            ["io_zcrx_append_area", "__zcrx_create_area", "io_register_zcrx"]
                .map(str::to_owned)
                .into(),
        )]);
        assert_eq!(fault_point(&functions(&stack, &inlined)), Some(FaultPoint::AreaAppend));
        assert_eq!(fault_point(&functions(&stack, &BTreeMap::new())), Some(FaultPoint::IfqAlloc));
        assert_eq!(
            place(&functions(&stack, &inlined)),
            ["io_zcrx_append_area", "__zcrx_create_area", "io_register_zcrx"]
        );
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
            (
                "should_fail_ex kmem_cache_alloc_noprof zcrx_send_notif io_zcrx_recv __do_sys_io_uring_enter",
                Some(FaultPoint::NotifAlloc),
            ),
            ("should_fail_usercopy _copy_from_user io_get_ext_arg __do_sys_io_uring_enter", None),
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
