//! Turns masked frames into plain ones as they come, however the stream cuts them.

/// A frame whose end has not come.
#[derive(Default)]
pub(crate) struct Frames {
    head: Vec<u8>,
    mask: [u8; 4],
    /// Bytes of payload that are missing; the head is complete.
    missing: usize,
    /// What came of it, as an echo.
    partial: Vec<u8>,
}

impl Frames {
    /// Appends the echoes that became whole. Returns whether there are any.
    pub(crate) fn echo(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let before = out.len();
        loop {
            if self.missing > 0 {
                let len = self.missing.min(bytes.len());
                let (payload, rest) = bytes.split_at(len);
                unmasked(payload, self.mask, &mut self.partial);
                self.mask.rotate_left(len % 4);
                self.missing -= len;
                bytes = rest;
                if self.missing > 0 {
                    break;
                }
                match out.is_empty() {
                    true => std::mem::swap(out, &mut self.partial),
                    false => out.extend_from_slice(&self.partial),
                }
                self.partial.clear();
            }
            let taken = if self.head.is_empty() {
                self.begin(bytes, 0, out)
            } else {
                let kept = self.head.len();
                let mut head = std::mem::take(&mut self.head);
                head.extend_from_slice(&bytes[..bytes.len().min(14 - kept)]);
                self.begin(&head, kept, out)
            };
            let Some(taken) = taken else {
                break;
            };
            bytes = &bytes[taken..];
        }
        out.len() > before
    }

    /// Takes a head, of which `kept` bytes are not from the input, and the payload if it is all
    /// there. Returns how much of the input that was; `None`: the input is used up.
    fn begin(&mut self, bytes: &[u8], kept: usize, out: &mut Vec<u8>) -> Option<usize> {
        let short = match *bytes {
            [_, short, ..] => short & 127,
            _ => {
                self.head.extend_from_slice(bytes);
                return None;
            }
        };
        let extra = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let head = 2 + extra + 4;
        let Some((extended, mask)) = bytes
            .get(2..head)
            .and_then(|rest| rest.split_last_chunk::<4>())
        else {
            self.head.extend_from_slice(bytes);
            return None;
        };
        let len = match extra {
            0 => usize::from(short),
            _ => extended
                .iter()
                .fold(0, |len, byte| len << 8 | usize::from(*byte)),
        };
        let payload = bytes.get(head..head + len).filter(|_| kept == 0);
        let place = match payload {
            Some(_) => &mut *out,
            None => &mut self.partial,
        };
        place.reserve(2 + extra + len);
        place.extend_from_slice(&[bytes[0], bytes[1] & 127]);
        place.extend_from_slice(extended);
        if let Some(payload) = payload {
            unmasked(payload, *mask, out);
            return Some(head + len);
        }
        if len == 0 {
            out.append(&mut self.partial);
        }
        self.mask = *mask;
        self.missing = len;
        Some(head - kept)
    }
}

fn unmasked(payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(payload);
    let word = u32::from_ne_bytes(mask);
    let (words, rest) = out[start..].as_chunks_mut::<4>();
    for bytes in words {
        *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_echoed_wherever_they_are_cut() {
        let (mut stream, mut echoes) = (Vec::new(), Vec::new());
        for len in [0_usize, 5, 125, 126, 70_000, 3] {
            let mut head = vec![0x82];
            match len {
                0..=125 => head.push(len as u8),
                126..=0xffff => {
                    head.push(126);
                    head.extend((len as u16).to_be_bytes());
                }
                _ => {
                    head.push(127);
                    head.extend((len as u64).to_be_bytes());
                }
            }
            let mask = [1, 2, 3, 4];
            let payload: Vec<u8> = (0..len).map(|it| (it * 7) as u8).collect();
            echoes.extend_from_slice(&head);
            echoes.extend_from_slice(&payload);
            head[1] |= 128;
            stream.extend(head);
            stream.extend(mask);
            stream.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
        }
        for step in [1, 2, 3, 7, 14, 100, 4096, stream.len()] {
            let (mut frames, mut out) = (Frames::default(), Vec::new());
            for piece in stream.chunks(step) {
                frames.echo(piece, &mut out);
            }
            assert!(out == echoes, "{step}");
        }
    }
}
