//! `/echo`: every message back, of the same kind. With `?frame=BYTES` in frames of about so many
//! bytes, for those who want to see their own client put them together.

use std::num::NonZeroUsize;

use sockeye::{Accepted, Bytes, Conn, Peer, Protocol, Reject, Request, Text};

#[derive(Debug)]
pub(super) struct Echo;

/// How long frames are to be; `None`: one for each message.
type Frame = Option<NonZeroUsize>;

impl Protocol for Echo {
    type Session = Frame;

    fn accept(&mut self, request: &Request<'_>, _: &Peer) -> Result<Accepted<Frame>, Reject> {
        let wish = request.query().and_then(|query| {
            let fields = query.split('&');
            fields
                .filter_map(|field| field.strip_prefix("frame="))
                .next()
        });
        match wish.map(str::parse).transpose() {
            Ok(frame) => Ok(Accepted::new(frame)),
            Err(_) => Err(Reject::status(400)),
        }
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, frame: &mut Frame, text: Text<'_>) {
        let Some(frame) = *frame else {
            conn.send(&text);
            return;
        };
        let mut rest = &text[..];
        while let Some((fragment, behind)) = cut(rest, frame) {
            conn.send_fragment(fragment, false);
            rest = behind;
        }
        conn.send_fragment(rest, true);
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, frame: &mut Frame, data: Bytes<'_>) {
        let Some(frame) = *frame else {
            conn.send(&data);
            return;
        };
        let mut rest = &data[..];
        while let Some((fragment, behind)) = rest
            .split_at_checked(frame.get())
            .filter(|(_, behind)| !behind.is_empty())
        {
            conn.send_fragment(fragment, false);
            rest = behind;
        }
        conn.send_fragment(rest, true);
    }
}

/// Takes a fragment of at most so many bytes, but of a whole character at least; `None`: all of it
/// is the last one.
fn cut(text: &str, frame: NonZeroUsize) -> Option<(&str, &str)> {
    let first = text.chars().next()?.len_utf8();
    let mut len = frame.get().max(first);
    if len >= text.len() {
        return None;
    }
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    text.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        let pieces = |text: &str, len| {
            let frame = NonZeroUsize::new(len).unwrap();
            let (mut rest, mut pieces) = (text, Vec::new());
            while let Some((piece, behind)) = cut(rest, frame) {
                pieces.push(piece.to_owned());
                rest = behind;
            }
            pieces.push(rest.to_owned());
            pieces
        };
        assert_eq!(pieces("aüö😀b", 3), ["aü", "ö", "😀", "b"]);
        assert_eq!(pieces("aüö", 1), ["a", "ü", "ö"]);
        assert_eq!(pieces("abcd", 2), ["ab", "cd"]);
        assert_eq!(pieces("ab", 2), ["ab"]);
        assert_eq!(pieces("", 2), [""]);
    }
}
