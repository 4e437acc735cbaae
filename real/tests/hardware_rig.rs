//! Goal: a rig is checked, set up, used by tests, and restored, also after it was killed at any moment; what is
//! wrong on the machine is refused before anything is touched. Method: a guest on Debian's 7.3 with the soft NIC,
//! which the rig file describes as any other NIC; commands inside it. Without that kernel or the tools that build
//! the module the tests print the reason and check nothing.
#![cfg(target_os = "linux")]

mod not_run;

use std::process::Command;

const ON: &str = "qemu:7.3+nic";
/// The rig in the guest.
const RIG: &str = "\
[nic]
interface = \"sn0\"
queues = [2, 3]
address = \"198.51.100.1/24\"
ring = 256

[peer]
interface = \"sn1\"
address = \"198.51.100.2\"
";
/// What the tool asks the program on a rig for, so that the program itself can be killed.
const REQUEST: &str = r#"{"rig":{"nic":{"interface":"sn0","queues":[2,3],"address":"198.51.100.1","prefix":24,"ring":256},"peer":{"interface":"sn1","namespace":"ifq-peer","address":"198.51.100.2"},"first_port":9000,"silence_seconds":30},"action":"hold"}"#;
/// Each kind of moment: while the rig is set up or held, and while it is restored.
const KILLS: u32 = 60;

/// Runs a script in the guest; what it prints.
fn in_guest(script: &str) -> Option<String> {
    let script = format!("cat > /rig.toml <<'END'\n{RIG}END\n{script}");
    let output = Command::new(env!("CARGO_BIN_EXE_ifq"))
        .args(["rig", "shell", "--on", ON, "-c", &script])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.code() == Some(77) {
        not_run::not_run(&text);
        return None;
    }
    assert_eq!(
        output.status.code(),
        Some(0),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(text)
}

#[test]
#[ignore = "not run by default: takes minutes on an emulated kernel; \
            cargo test -p ifq-real --test hardware_rig -- --ignored runs it"]
fn a_rig_that_is_killed_at_any_moment_is_restored() {
    let script = format!(
        r#"
/ifq rig state /rig.toml --json > /before
i=0
while [ $i -lt {KILLS} ]; do
    (echo '{REQUEST}'; sleep 3) | /ifq rig-agent > /dev/null 2>&1 &
    # All but init, which the kernel does not kill.
    usleep $((RANDOM * 8))
    [ $((i % 3)) = 0 ] && {{ kill -TERM $(pidof ifq) 2> /dev/null; usleep $((RANDOM * 2)); }}
    kill -9 $(pidof ifq) 2> /dev/null
    /ifq rig restore /rig.toml || exit 3
    /ifq rig state /rig.toml --json > /after
    cmp /before /after || {{ cat /before /after; exit 4; }}
    i=$((i + 1))
done
ls /run/ifq
"#
    );
    let Some(text) = in_guest(&script) else { return };
    let restored = text.lines().filter(|line| line.starts_with("restored: ")).count();
    let as_before = text.lines().filter(|line| *line == "the rig is as it was").count();
    assert_eq!(restored + as_before, KILLS as usize, "{text}");
    assert!(restored >= KILLS as usize / 6, "few kills hit a rig that was changed: {text}");
    let counts: std::collections::BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("restored: ")).collect();
    assert!(counts.len() >= 3, "the kills hit few different moments: {text}");
    assert!(!text.contains(".journal"), "{text}");
}

#[test]
#[ignore = "not run by default: takes minutes on an emulated kernel; \
            cargo test -p ifq-real --test hardware_rig -- --ignored runs it"]
fn a_rig_is_checked_runs_device_tests_and_is_as_before() {
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/library/device/");
    let test = |name: &str| std::fs::read_to_string(format!("{library}{name}.ifq")).unwrap();
    let script = format!(
        r#"
cat > /data.ifq <<'END'
{}END
cat > /down.ifq <<'END'
{}END
/ifq rig state /rig.toml --json > /before
/ifq rig check /rig.toml; echo "check: $?"
/ifq run /data.ifq --on rig:/rig.toml --times 5 --seed 1 --json; echo "data: $?"
/ifq run /down.ifq --on rig:/rig.toml --times 5 --seed 1; echo "down: $?"
/ifq conform /data.ifq /down.ifq --on rig:/rig.toml --times 3 --seed 1; echo "conform: $?"
/ifq probe --on rig:/rig.toml | grep NIC
/ifq rig state /rig.toml --json > /after
cmp /before /after && echo same
"#,
        test("data-over-a-device-queue"),
        test("a-device-that-is-down-keeps-its-queue-bound"),
    );
    let Some(text) = in_guest(&script) else { return };
    for says in ["check: 0\n", "data: 0\n", "down: 77\n", "conform: 77\n", "same\n"] {
        assert!(text.contains(says), "{says}: {text}");
    }
    let mut lines = text.lines().map(str::trim_start);
    let row = |line: &str| line.starts_with("data-over-a-device-queue") && line.ends_with("agrees");
    assert!(lines.any(row), "{text}");
    assert!(text.contains("1 agree, 0 differ, 1 not run"), "{text}");
    assert!(text.contains("ok         queue API"), "{text}");
    assert!(text.contains("sn0, driver softnic"), "{text}");
    assert!(text.contains("which no test does on a hardware rig"), "{text}");
    let line = text.lines().find(|line| line.contains("\"result\":")).expect("a result");
    let line = &line[line.find('{').unwrap()..];
    let result: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(result["result"], "agrees", "{line}");
    let packets = |name: &str| result["packets"][name].as_u64().expect("a number");
    assert!(packets("zero_copy") >= 5 && packets("placed") >= 5, "{line}");
    assert_eq!((packets("copied"), packets("unproven"), packets("misplaced")), (0, 0, 0), "{line}");
}

#[test]
#[ignore = "not run by default: takes minutes on an emulated kernel; \
            cargo test -p ifq-real --test hardware_rig -- --ignored runs it"]
fn an_interrupted_run_restores_the_rig() {
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/library/device/");
    let test = std::fs::read_to_string(format!("{library}data-over-a-device-queue.ifq")).unwrap();
    // Ctrl-C reaches the tool alone, and the tool with the program on the rig.
    let script = format!(
        r#"
cat > /data.ifq <<'END'
{test}END
/ifq rig state /rig.toml --json > /before
interrupt() {{
    /ifq run /data.ifq --on rig:/rig.toml --times 100000 --seed 1 &
    run=$!
    while ip link show sn1 > /dev/null 2>&1; do usleep 100000; done
    sleep 2
    kill -INT $($1)
    wait $run; echo "exit $?"
    /ifq rig state /rig.toml --json > /after
    cmp /before /after && echo same
    ls /run/ifq
}}
tool() {{ echo $run; }}
all() {{ pidof ifq; }}
interrupt tool
interrupt all
"#
    );
    let Some(text) = in_guest(&script) else { return };
    assert_eq!(text.matches("exit 130\n").count(), 2, "{text}");
    assert_eq!(text.matches("same\n").count(), 2, "{text}");
    assert!(!text.contains(".journal"), "{text}");
}

#[test]
#[ignore = "not run by default: boots an emulated kernel; .ci/run runs it, \
            cargo test -p ifq-real -- --ignored in_qemu"]
fn in_qemu_what_is_wrong_on_the_machine_is_refused_with_the_line_of_the_file() {
    // Rules without a journal are not the rig's.
    let script = r#"
try() { sed "$1" /rig.toml > /bad.toml; /ifq probe --on rig:/bad.toml; echo "exit $?"; }
try 's/"sn0"/"sn7"/'
try 's/\[2, 3\]/[2, 16]/'
try 's/"sn1"/"lo"/'
ip addr add 203.0.113.9/24 dev sn1; try 's/x/x/'; ip addr del 203.0.113.9/24 dev sn1
(echo '@REQUEST@'; sleep 4) | /ifq rig-agent > /dev/null &
sleep 2
try 's/x/x/'
kill -9 $(pidof ifq); rm /run/ifq/sn0.journal
umount /run/netns/ifq-peer; rm /run/netns/ifq-peer; sleep 2
try 's/x/x/'
rmmod softnic; insmod /softnic.ko queue_api=0
try 's/x/x/'
/ifq rig check /rig.toml | grep -A1 'queue API'
"#
    .replace("@REQUEST@", REQUEST);
    let Some(text) = in_guest(&script) else { return };
    assert_eq!(text.matches("exit 77").count(), 7, "{text}");
    for says in [
        "/bad.toml:2:13: nic.interface: there is no interface `sn7`",
        "/bad.toml:3:10: nic.queues: `sn0` has no receive queue 16: its queues are 0 to 15",
        "/bad.toml:8:13: peer.interface: `lo` is not touched",
        "/bad.toml:8:13: peer.interface: `sn1` has the address 203.0.113.9/24",
        "another ifq uses the interface sn0",
        "limits.first_port: the flow rule",
        "which is not ours, is about port 9000; choose other ports, or `ethtool -N sn0 delete",
        "/bad.toml:2:13: nic.interface: the driver of `sn0` has no queue API",
        "MISSING    queue API",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
}

/// The far end sends, ends and resets.
const FAR: &str = "\
test a-far-end-on-another-host
about A far end on another host sends, ends and resets its streams.
revision import-7.3
ring A
socket s@0 t@0
queues 1
setup
    ifq = A: register queue=0 buffers=4 entries=4
    A: recv ifq s
    A: recv ifq t
    y = s: send 128
    c = A: wait
    z = s: shutdown
    d = A: wait
    u = t: send 100
    e = A: wait
    v = t: reset
    f = A: wait
observe y c z d u e v f
expect holds
always y=0 and c=128 and z=0 and d=0 and u=0 and e=100 and v=0
";

#[test]
#[ignore = "not run by default: takes minutes on an emulated kernel; \
            cargo test -p ifq-real --test hardware_rig -- --ignored runs it"]
fn a_peer_on_another_host_is_checked_sends_and_is_as_before() {
    // The ssh client only starts the command, so that the peer's host is this one.
    let script = format!(
        r#"
cat > /bin/ssh <<'END'
#!/bin/sh
for last; do :; done
exec sh -c "$last"
END
chmod +x /bin/ssh
cat > /far.ifq <<'END'
{FAR}END
/ifq rig state /rig.toml --json > /before
sed 's/\[peer\]/[peer]\nhost = "root@peer"/' /rig.toml > /far.toml
/ifq rig check /far.toml; echo "check: $?"
/ifq run /far.ifq --on rig:/far.toml --times 5 --seed 1 --json; echo "far: $?"
/ifq rig state /rig.toml --json > /after
cmp /before /after && echo same
/ifq run /far.ifq --on rig:/far.toml --times 100000 --seed 1 > /dev/null 2>&1 &
while ip link show sn1 > /dev/null 2>&1; do usleep 100000; done
sleep 2
kill -9 $(pidof ifq)
/ifq rig restore /far.toml; echo "restore: $?"
/ifq rig state /rig.toml --json > /after
cmp /before /after && echo restored
sed 's/sn1/sn7/' /far.toml > /bad.toml
/ifq probe --on rig:/bad.toml; echo "bad: $?"
"#
    );
    let Some(text) = in_guest(&script) else { return };
    for says in ["check: 0\n", "the peer's host", "far: 0\n", "same\n", "restore: 0\n"] {
        assert!(text.contains(says), "{says}: {text}");
    }
    assert!(text.contains("restored\n") && text.contains("bad: 77\n"), "{text}");
    assert!(text.contains("peer.interface: there is no interface `sn7`"), "{text}");
    let line = text.lines().find(|line| line.contains("\"result\":")).expect("a result");
    let line = &line[line.find('{').unwrap()..];
    let result: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(result["result"], "agrees", "{line}");
    let packets = |name: &str| result["packets"][name].as_u64().expect("a number");
    assert_eq!(
        (packets("zero_copy"), packets("copied"), packets("unproven")),
        (10, 0, 0),
        "{line}"
    );
}
