//! Damage: single bits and bytes, parts that are missing, twice or elsewhere, numbers that are too large, other files' words.

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;

/// What readers look for, or stumble over.
const WORDS: &[&[u8]] = &[
    b"\"",
    b"\"\"",
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r\n",
    b"\r",
    b"\0",
    b"#",
    b"'",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xff",
    b"nan",
    b"NaN",
    b"inf",
    b"-inf",
    b"null",
    b"NA",
    b"1e999",
    b"-1e-999",
    b"1e38",
    b"0x10",
    b"1_000",
    b"1.000,5",
    b"--1",
    b"-",
    b"+",
    b".",
    b"99999999999999999999999",
    b"18446744073709551615",
    b"9223372036854775807",
    b"4294967295",
    b"-1",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b":",
    b"{\"a\":",
    b"data_offsets",
    b"shape",
    b"dtype",
    b"F64",
    b"F16",
    b"BF16",
    b"I64",
    b"__metadata__",
    b"\\u0000",
    b"\\",
    b"(",
    b")",
    b"Linear(",
    b"Sequential(",
    b"\xf0\x9f\x98\x80",
    b"caf\xc3\xa9",
    b"\xe2\x88\x92",
    b"\xc2\xa0",
    b"mean",
    b"scale",
];

/// One to six of them, one after the other.
pub(crate) fn damaged(base: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = base.to_vec();
    for _ in 0..random.random_range(1..7) {
        damage(&mut bytes, random);
    }
    bytes
}

fn damage(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    if bytes.is_empty() {
        bytes.extend_from_slice(WORDS.choose(random).unwrap());
        return;
    }
    // The first bytes tell more than others.
    let most = if random.random_range(0..3) == 0 { bytes.len().min(300) } else { bytes.len() };
    let at = random.random_range(0..most);
    let end = (at + 1 + (1 << random.random_range(0..10)) * random.random_range(1..4)).min(bytes.len());
    match random.random_range(0..10) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = *[0, 1, 0x7f, 0x80, 0xff, b'0', b'9', b' '].choose(random).unwrap(),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let part = bytes[at..end].to_vec();
            let to = random.random_range(0..=bytes.len());
            bytes.splice(to..to, part);
        }
        5 | 6 => {
            let word = *WORDS.choose(random).unwrap();
            bytes.splice(at..at, word.iter().copied());
        }
        7 => {
            // Over what is there.
            let word = *WORDS.choose(random).unwrap();
            let end = (at + word.len()).min(bytes.len());
            bytes.splice(at..end, word.iter().copied());
        }
        8 => {
            let number: u64 =
                *[0, 1, u64::MAX, 1 << 31, 1 << 32, 1 << 40, 1 << 62, 0xffff_ffff].choose(random).unwrap();
            let number = if random.random() { number.to_le_bytes() } else { (number << 32).to_be_bytes() };
            let len = *[4, 8].choose(random).unwrap();
            let end = (at + len).min(bytes.len());
            bytes.splice(at..end, number[..len].iter().copied());
        }
        _ => digits(bytes, at, random),
    }
}

/// Another number in the place of the next one that is written in digits.
fn digits(bytes: &mut Vec<u8>, at: usize, random: &mut ChaCha8Rng) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|i| at + i) else { return };
    let end = bytes[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |i| start + i);
    let number: u64 = match random.random_range(0..4) {
        0 => random.random_range(0..4),
        1 => 1 << random.random_range(0..64),
        2 => u64::MAX >> random.random_range(0..64),
        _ => random.random_range(0..300),
    };
    bytes.splice(start..end, number.to_string().into_bytes());
}
