//! The keys of hixie-76: two numbers that blanks divide, and eight bytes, hashed by MD5
//! (draft-ietf-hybi-thewebsocketprotocol-00 §4.1 and §5.2).
//!
//! Knows the values and nothing of the messages that carry them.

use md5::{Digest, Md5};

use crate::Shared;

/// The most blanks, and the most other characters, that we put into a key.
const MOST_CHARACTERS: u32 = 12;

/// What proves that a server speaks hixie-76.
pub(super) type Answer = [u8; 16];

/// The answer to two numbers and a challenge.
pub(super) fn answer(numbers: [u32; 2], challenge: [u8; 8]) -> Answer {
    let [first, second] = numbers.map(u32::to_be_bytes);
    Md5::new()
        .chain_update(first)
        .chain_update(second)
        .chain_update(challenge)
        .finalize()
        .into()
}

/// The number in a key: its digits, divided by the count of its blanks.
pub(super) fn number(key: &[u8]) -> Option<u32> {
    let mut digits = key.iter().filter(|byte| byte.is_ascii_digit()).peekable();
    digits.peek()?;
    let value = digits.try_fold(0_u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    let blanks = key.iter().filter(|&&byte| byte == b' ').count() as u64;
    if value.checked_rem(blanks)? != 0 {
        return None;
    }
    u32::try_from(value / blanks).ok()
}

/// A fresh key and its number.
pub(super) fn make_key(shared: &mut Shared) -> (String, u32) {
    let blanks = 1 + shared.number(MOST_CHARACTERS - 1);
    let number = shared.number(u32::MAX / blanks);
    // Below 2^32, since the number was chosen so.
    let mut key: Vec<char> = number.wrapping_mul(blanks).to_string().chars().collect();
    for _ in 0..=shared.number(MOST_CHARACTERS - 1) {
        // '!' to '/' and ':' to '~'.
        let character = match shared.number(0x2f - 0x21 + 0x7e - 0x3a + 1) as u8 {
            low @ 0..15 => 0x21 + low,
            high => 0x3a + (high - 15),
        };
        let place = shared.number(key.len() as u32) as usize;
        key.insert(place, char::from(character));
    }
    for _ in 0..blanks {
        // Neither end: others trim what is there.
        let place = 1 + shared.number(key.len() as u32 - 2) as usize;
        key.insert(place, ' ');
    }
    (key.into_iter().collect(), number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_draft() {
        let numbers = [
            number(b"4 @1  46546xW%0l 1 5").unwrap(),
            number(b"12998 5 Y3 1  .P00").unwrap(),
        ];
        assert_eq!(numbers, [829_309_203, 259_970_620]);
        assert_eq!(&answer(numbers, *b"^n:ds[4U"), b"8jKS'y:G*Co,Wxa-");
    }

    #[test]
    fn the_keys_of_an_old_client() {
        let numbers = [
            number(b"1 %  &  7&&6&*8'185690").unwrap(),
            number(b"2  - (  . 526055044").unwrap(),
        ];
        assert_eq!(numbers, [0x1514_1312, 0x1918_1716]);
        let challenge = [0x2e, 0x2f, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35];
        assert_eq!(
            u128::from_be_bytes(answer(numbers, challenge)),
            0x61c1_35a7_5248_a708_4a68_1c18_39a4_2dc9
        );
    }

    #[test]
    fn keys_that_are_none() {
        for key in [
            &b""[..],
            b"123",
            b" ",
            b"abc d",
            b"1 0 1",
            b"99999999999 0",
            b"18446744073709551616 0",
            b"4294967296 ",
        ] {
            assert_eq!(number(key), None, "{}", key.escape_ascii());
        }
        assert_eq!(number(b"4294967295 "), Some(u32::MAX));
        assert_eq!(number(b"0 "), Some(0));
    }

    #[test]
    fn our_keys_hold_what_they_should() {
        let mut shared = Shared::from_seed([5; 32]);
        let mut longest = 0;
        for _ in 0..2000 {
            let (key, value) = make_key(&mut shared);
            assert_eq!(number(key.as_bytes()), Some(value), "{key}");
            assert_eq!(key.trim(), key);
            let others = |byte: &u8| !byte.is_ascii_digit() && *byte != b' ';
            let characters = key.bytes().filter(others).count();
            assert!((1..=12).contains(&characters), "{key}");
            assert!(key.bytes().all(|byte| (0x20..=0x7e).contains(&byte)));
            longest = longest.max(key.len());
        }
        assert!(longest > 25);
    }
}
