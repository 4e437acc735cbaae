//! A small race that runs on every kernel without a network device.

/// Import against close of the descriptor.
pub(crate) const RACE: &str = "\
test a-race
about A box is closed while another ring imports it.
revision import-7.1 import-7.2 import-7.3
ring a b
observe imp y

setup
  i = a: register nodev buffers=1 entries=1
  box = a: export i
thread one
  imp = b: import box
thread two
  y = close box
expect holds
";
