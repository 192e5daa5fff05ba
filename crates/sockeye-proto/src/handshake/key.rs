//! Sec-WebSocket-Key and Sec-WebSocket-Accept (RFC 6455 §4.2.2, item 5).
//!
//! Knows the two values and nothing of the messages that carry them.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};

/// The GUID of RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Padding is required. Four bits of the last digit are unused; peers that set them are in
/// use, and nothing depends on them.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

/// The base64 of a SHA-1.
pub(super) type AcceptKey = [u8; 28];

/// Whether this is the base64 of 16 bytes (RFC 6455 §4.2.1, item 5).
pub(super) fn is_key(key: &[u8]) -> bool {
    let mut bytes = [0; 18];
    key.len() == 24 && BASE64.decode_slice(key, &mut bytes) == Ok(16)
}

/// The key for a nonce.
pub(super) fn encode_key(nonce: [u8; 16]) -> String {
    BASE64.encode(nonce)
}

/// The answer to a key.
pub(super) fn accept_key(key: &[u8]) -> AcceptKey {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; 28];
    // A digest of 20 bytes always makes 28 characters.
    let _ = BASE64.encode_slice(digest, &mut accept);
    accept
}

/// The key that hybi-04 masks with, from both sides' nonces as they stand in the headers
/// (draft-ietf-hybi-thewebsocketprotocol-04 §4.2).
#[cfg(feature = "drafts")]
pub(super) fn hybi04_key(key: &[u8], nonce: &[u8]) -> [u8; 20] {
    const GUID: &[u8] = b"61AC5F19-FBBA-4540-B96F-6561F1AB40A8";
    Sha1::new()
        .chain_update(key)
        .chain_update(nonce)
        .chain_update(GUID)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "drafts")]
    fn keys_of_hybi_04() {
        let hex = |key: [u8; 20]| key.map(|byte| format!("{byte:02x}")).concat();
        let key = hybi04_key(b"dGhlIHNhbXBsZSBub25jZQ==", b"AAECAwQFBgcICQoLDA0ODw==");
        assert_eq!(hex(key), "5fd888f70d569d0e5702ee3223f9a2b7b2980d91");
        let nonce = encode_key([0x10; 16]);
        let key = hybi04_key(b"AAECAwQFBgcICQoLDA0ODw==", nonce.as_bytes());
        assert_eq!(hex(key), "968c68fb7aee3863f03c0ae4d5e50f445909e181");
    }

    #[test]
    fn the_example_of_rfc_6455_section_1_3() {
        assert_eq!(
            &accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="),
            b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn keys() {
        for (key, valid) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", true),
            ("AAAAAAAAAAAAAAAAAAAAAA==", true),
            ("1234567890123456789012==", true),
            ("+/+/+/+/+/+/+/+/+/+/+w==", true),
            ("", false),
            ("dGhlIHNhbXBsZSBub25jZQ", false),
            ("dGhlIHNhbXBsZSBub25jZQ=", false),
            ("dGhlIHNhbXBsZSBub25jZQ===", false),
            ("dGhlIHNhbXBsZSBub25jZTE=", false),
            ("dGhlIHNhbXBsZSBub25jZTEy", false),
            ("dGhlIHNhbXBs ZSBub25jZQ=", false),
            ("dGhlIHNhbXBs ZSBub25jZQ==", false),
            ("dGhlIHNhbXBsZSBub25j-_==", false),
            ("dGhlIHNhbXBsZSBub2==ZQ==", false),
            ("SGVsbG8sIHdvcmxkIQ==", false),
        ] {
            assert_eq!(is_key(key.as_bytes()), valid, "{key}");
        }
        assert!(is_key(encode_key([0xff; 16]).as_bytes()));
    }
}
