//! Tokens and comma-separated lists of them (RFC 9110 §5.6).
//!
//! Knows nothing of particular headers. Invariant: each function looks at each byte once.

/// `tchar` of RFC 9110 §5.6.2.
#[expect(clippy::indexing_slicing, reason = "there is an entry for each byte")]
#[inline]
pub(crate) const fn is_tchar(byte: u8) -> bool {
    TCHAR[byte as usize]
}

/// Most of a head is looked at with this, byte by byte.
#[expect(clippy::indexing_slicing, reason = "the compiler does it")]
const TCHAR: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = matches!(
            byte as u8,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'
                | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+'
                | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        );
        byte += 1;
    }
    table
};

/// Whether these bytes are a token: one `tchar` or more.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_tchar(byte))
}

/// `bytes` without blanks (SP, HTAB) at both ends.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(first) = bytes.iter().position(|byte| !blank(byte)) else {
        return &[];
    };
    let last = bytes.iter().rposition(|byte| !blank(byte)).unwrap_or(first);
    bytes.get(first..=last).unwrap_or_default()
}

/// The elements of a list value, without blanks around them and without empty ones
/// (RFC 9110 §5.6.1.2). Not for lists whose elements may hold quoted strings.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_trimmed_and_never_empty() {
        let list = |value: &'static str| elements(value.as_bytes()).collect::<Vec<_>>();
        assert_eq!(list("a, b\t,c"), [b"a", b"b", b"c"]);
        assert_eq!(list(" , ,, a ,"), [b"a"]);
        assert_eq!(list("a b"), [b"a b"]);
        assert!(list("").is_empty());
        assert!(list(" ,\t, \t ").is_empty());
    }

    #[test]
    fn token_is_exactly_the_table_of_the_rfc() {
        let separators = b"\"(),/:;<=>?@[\\]{} \t";
        for byte in 0..=255u8 {
            let expected = byte.is_ascii_graphic() && !separators.contains(&byte);
            assert_eq!(is_tchar(byte), expected, "{byte:#x}");
        }
        assert!(!is_token(b""));
    }
}
