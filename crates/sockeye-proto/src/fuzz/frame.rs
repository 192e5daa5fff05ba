//! The header of a frame.

use crate::frame::FrameHeader;

/// Any bytes as a header: what is decoded encodes to what decodes the same, no longer than it was;
/// what is missing is asked for, and what follows changes nothing.
///
/// # Panics
/// If one of these does not hold.
pub fn frame(data: &[u8]) {
    let verdict = FrameHeader::decode(data);
    let settled = (0..data.len())
        .map(|len| FrameHeader::decode(data.get(..len).unwrap_or_default()))
        .find(|shorter| !matches!(shorter, Ok(None)));
    if let Some(shorter) = settled {
        assert_eq!(shorter, verdict, "more bytes changed the verdict");
    }
    let Ok(Some((header, len))) = verdict else {
        assert!(verdict.is_err() || data.len() < FrameHeader::MAX_LEN);
        return;
    };
    assert!(len <= data.len().min(FrameHeader::MAX_LEN));
    let mut encoded = Vec::new();
    header.encode(&mut encoded);
    assert_eq!(data.get(..len), Some(&encoded[..]));
}
