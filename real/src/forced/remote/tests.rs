//! The client against a stub that follows a script.

use super::*;

/// What the stub does.
enum Act {
    /// Expects this packet and acknowledges it.
    Expect(&'static str),
    /// Expects this byte outside of a packet.
    ExpectByte(u8),
    /// Sends this packet.
    Send(String),
    /// Sends these bytes.
    Raw(&'static [u8]),
    /// Does nothing for a while.
    Pause(Duration),
}

use Act::{Expect, ExpectByte, Pause, Raw, Send};

fn send(text: &str) -> Act {
    Send(text.to_owned())
}

/// The first packets of each connection.
fn greeting() -> Vec<Act> {
    vec![
        send("T05thread:p01.01;"),
        Expect("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+"),
        send("PacketSize=1000;multiprocess+"),
        Expect("vCont?"),
        send("vCont;c;C;s;S"),
        Expect("?"),
        send("T05thread:p01.01;"),
    ]
}

/// Reads bytes up to the end of a packet, without acknowledgements.
fn packet(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !(text.len() > 3 && text[text.len() - 3] == b'#') {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            break;
        }
        if !(text.is_empty() && matches!(byte[0], b'+' | b'-')) {
            text.push(byte[0]);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Connects to a stub with a script, calls `f`, and checks that the script was followed to its end.
fn with_stub<T>(script: Vec<Act>, f: impl FnOnce(Result<Remote, RemoteError>) -> T) -> T {
    let (near, mut far) = UnixStream::pair().unwrap();
    let stub = std::thread::spawn(move || {
        for act in script {
            match act {
                Expect(text) => {
                    let wanted = String::from_utf8(encode(text.as_bytes())).unwrap();
                    assert_eq!(packet(&mut far), wanted);
                    far.write_all(b"+").unwrap();
                }
                ExpectByte(wanted) => {
                    let mut byte = [b'+'];
                    while byte == [b'+'] {
                        far.read_exact(&mut byte).unwrap();
                    }
                    assert_eq!(byte, [wanted]);
                }
                Send(text) => far.write_all(&encode(text.as_bytes())).unwrap(),
                Raw(bytes) => far.write_all(bytes).unwrap(),
                Pause(time) => std::thread::sleep(time),
            }
        }
    });
    let result = f(Remote::new(near));
    stub.join().expect("the script was followed");
    result
}

fn script(acts: Vec<Act>) -> Vec<Act> {
    greeting().into_iter().chain(acts).collect()
}

#[test]
fn threads_are_counted_over_several_answers() {
    let acts = vec![
        Expect("qfThreadInfo"),
        send("mp01.01,p01.02"),
        Expect("qsThreadInfo"),
        send("mp01.03"),
        Expect("qsThreadInfo"),
        send("l"),
    ];
    assert_eq!(with_stub(script(acts), |remote| remote.unwrap().cpus()), Ok(3));
}

#[test]
fn registers_and_memory_belong_to_the_vcpu_and_a_run_selects_anew() {
    let zeros = "00".repeat(200);
    let acts = vec![
        Expect("Hgp1.2"),
        send("OK"),
        Expect("g"),
        send(&zeros),
        Expect("mffff,2"),
        send("0102"),
        Expect("Mffff,2:0304"),
        send("OK"),
        Expect("vCont;s:p1.2"),
        send("T05thread:p01.02;"),
        Expect("Hgp1.2"),
        send("OK"),
        Expect("m10,8"),
        send("0102000000000000"),
    ];
    with_stub(script(acts), |remote| {
        let mut remote = remote.unwrap();
        assert_eq!(remote.registers(1).unwrap().get(Reg::Rip), 0);
        assert_eq!(remote.read(1, 0xffff, 2).unwrap(), [1, 2]);
        remote.write(1, 0xffff, &[3, 4]).unwrap();
        assert_eq!(remote.step(1).unwrap(), Stop::Signal { cpu: 1, signal: 5 });
        assert_eq!(remote.read_u64(1, 0x10).unwrap(), 0x201);
    });
}

#[test]
fn only_the_named_vcpus_run_and_a_time_limit_interrupts_the_machine() {
    let acts = vec![
        Expect("Z1,ffffffff81000000,1"),
        send("OK"),
        Expect("vCont;c:p1.1;c:p1.3"),
        Pause(Duration::from_millis(20)),
        send("T05thread:p01.03;"),
        Expect("z1,ffffffff81000000,1"),
        send("OK"),
        Expect("vCont;c:p1.1"),
        ExpectByte(INTERRUPT),
        send("T02thread:p01.01;"),
    ];
    with_stub(script(acts), |remote| {
        let mut remote = remote.unwrap();
        remote.set_breakpoint(0xffff_ffff_8100_0000).unwrap();
        let stop = remote.run([0, 2], Duration::from_secs(5)).unwrap();
        assert_eq!(stop, Some(Stop::Signal { cpu: 2, signal: 5 }));
        remote.remove_breakpoint(0xffff_ffff_8100_0000).unwrap();
        assert_eq!(remote.run([0], Duration::from_millis(10)).unwrap(), None);
    });
}

#[test]
fn an_error_says_what_was_sent_and_what_was_expected() {
    let acts = vec![Expect("Hgp1.1"), send("OK"), Expect("m0,4"), send("E14")];
    let error = with_stub(script(acts), |remote| remote.unwrap().read(0, 0, 4).unwrap_err());
    let text = "the gdb stub answered `m0,4` with `E14`; expected the bytes in hexadecimal";
    assert_eq!(error.to_string(), text);
    let other = vec![
        send("T05thread:p01.01;"),
        Expect("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+"),
        send(""),
    ];
    let error = with_stub(other, |remote| remote.unwrap_err());
    assert!(error.to_string().contains("multiprocess+"), "{error}");
}

#[test]
fn a_damaged_answer_is_asked_for_again_and_the_end_of_the_machine_is_an_error() {
    let acts = vec![
        Expect("qfThreadInfo"),
        Raw(b"$l#00"),
        ExpectByte(b'-'),
        send("l"),
        Expect("vCont;c:p1.1"),
    ];
    with_stub(script(acts), |remote| {
        let mut remote = remote.unwrap();
        assert_eq!(remote.cpus(), Ok(0));
        assert_eq!(remote.run([0], Duration::from_secs(5)), Err(RemoteError::Closed));
    });
}
