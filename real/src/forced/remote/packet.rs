//! The framing of the remote serial protocol of gdb ("Overview" in appendix "Remote Protocol" of its manual):
//! `$`, the payload, `#`, two digits of a checksum.

/// The byte after which the next one is escaped.
const ESCAPE: u8 = b'}';
/// An escaped byte is combined with this one by exclusive or.
const ESCAPED_BY: u8 = 0x20;
/// In a run-length code: the count is the byte minus this.
const RUN_BASE: u8 = 29;

/// Something that the other side sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// The last packet arrived.
    Ack,
    /// The last packet was damaged.
    Nak,
    /// A packet.
    Packet(Vec<u8>),
    /// A packet whose checksum is wrong.
    Damaged,
}

/// A payload as bytes on the wire.
pub(super) fn encode(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'$'];
    for &byte in payload {
        if matches!(byte, b'$' | b'#' | b'*' | ESCAPE) {
            bytes.extend([ESCAPE, byte ^ ESCAPED_BY]);
        } else {
            bytes.push(byte);
        }
    }
    let sum = checksum(&bytes[1..]);
    bytes.extend(format!("#{sum:02x}").bytes());
    bytes
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Splits a stream of bytes into packets and acknowledgements.
#[derive(Debug, Default)]
pub(super) struct Decoder(Vec<u8>);

impl Decoder {
    /// Adds bytes that arrived.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Takes the next complete item. Bytes outside of packets that mean nothing are skipped.
    pub(super) fn take(&mut self) -> Option<Received> {
        loop {
            match self.0.first()? {
                b'+' => {
                    self.0.remove(0);
                    return Some(Received::Ack);
                }
                b'-' => {
                    self.0.remove(0);
                    return Some(Received::Nak);
                }
                b'$' => return self.packet(),
                _ => _ = self.0.remove(0),
            }
        }
    }

    fn packet(&mut self) -> Option<Received> {
        let end = self.0.iter().position(|byte| *byte == b'#')?;
        let digits = self.0.get(end + 1..end + 3)?;
        let sum = std::str::from_utf8(digits).ok().and_then(|s| u8::from_str_radix(s, 16).ok());
        let intact = sum == Some(checksum(&self.0[1..end]));
        let payload = expand(&self.0[1..end]);
        self.0.drain(..end + 3);
        Some(match payload.filter(|_| intact) {
            Some(payload) => Received::Packet(payload),
            None => Received::Damaged,
        })
    }
}

/// Undoes escapes and run-length codes. `None`: the payload ends in the middle of one.
fn expand(coded: &[u8]) -> Option<Vec<u8>> {
    let mut payload = Vec::with_capacity(coded.len());
    let mut bytes = coded.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            ESCAPE => payload.push(bytes.next()? ^ ESCAPED_BY),
            b'*' => {
                let (last, count) = (*payload.last()?, bytes.next()?.checked_sub(RUN_BASE)?);
                payload.resize(payload.len() + usize::from(count), last);
            }
            byte => payload.push(byte),
        }
    }
    Some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_with_special_bytes_comes_back_unchanged_from_any_split_of_the_stream() {
        let payload = b"a$b#c*d}e";
        let bytes = [b"+".to_vec(), encode(payload), b"-".to_vec()].concat();
        for split in 0..bytes.len() {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for part in [&bytes[..split], &bytes[split..]] {
                decoder.push(part);
                seen.extend(std::iter::from_fn(|| decoder.take()));
            }
            let packet = Received::Packet(payload.to_vec());
            assert_eq!(seen, [Received::Ack, packet, Received::Nak], "split at {split}");
        }
    }

    #[test]
    fn runs_are_expanded_and_a_wrong_checksum_is_noticed() {
        let mut decoder = Decoder::default();
        // The example of gdb's manual: `0* ` stands for four zeros.
        decoder.push(b"$0* #7a$0* #7b");
        assert_eq!(decoder.take(), Some(Received::Packet(b"0000".to_vec())));
        assert_eq!(decoder.take(), Some(Received::Damaged));
        assert_eq!(decoder.take(), None);
    }
}
