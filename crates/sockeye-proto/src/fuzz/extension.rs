//! Sec-WebSocket-Extensions, from either side.

use std::sync::Arc;

use crate::deflate::{self, Budget, Settings, WindowBits};
use crate::extension::Extensions;
use crate::limits::Limits;

/// Any header lines, parted by line feeds, as an offer to a server and as an answer to a client.
/// The first byte chooses what each wishes for.
///
/// # Panics
/// If more is agreed on than was wished for, a client would not take the server's answer, or one
/// of them reads what it wrote differently.
pub fn extension(data: &[u8]) {
    let Some((&choice, lines)) = data.split_first() else {
        return;
    };
    let wish = wish(choice);
    let limits = Limits::default();
    let budget = Arc::new(Budget::default());
    let lines = || lines.split(|&byte| byte == b'\n');
    for line in lines() {
        let found = Extensions::new(line).take_while(Result::is_ok).count();
        assert!(found <= line.len());
    }

    if let Some((agreed, value)) = deflate::respond(lines(), &wish, &limits, &budget) {
        fits(&agreed.settings, &wish, true);
        let read = deflate::judge(std::iter::once(value.as_bytes()), &agreed);
        assert_eq!(read, Ok(Some(agreed)), "{value}");
    }

    let (offered, value) = deflate::offer(&wish, &limits, &budget);
    if let Ok(Some(agreed)) = deflate::judge(lines(), &offered) {
        fits(&agreed.settings, &wish, false);
    }
    let answer = deflate::respond(std::iter::once(value.as_bytes()), &wish, &limits, &budget);
    let Some((answer, value)) = answer else {
        panic!("a server does not take what its like offers: {value}");
    };
    let read = deflate::judge(std::iter::once(value.as_bytes()), &offered);
    assert_eq!(read, Ok(Some(answer)), "{value}");
}

fn wish(choice: u8) -> Settings {
    let bits = |low: u8| WindowBits::new(8 + (low & 7)).unwrap_or(WindowBits::MAX);
    Settings {
        server_no_context_takeover: choice & 64 != 0,
        client_no_context_takeover: choice & 128 != 0,
        server_max_window_bits: bits(choice),
        client_max_window_bits: bits(choice >> 3),
        ..Settings::default()
    }
}

/// Nobody has to do more than he wished for.
fn fits(agreed: &Settings, wish: &Settings, server: bool) {
    assert!(agreed.server_no_context_takeover || !wish.server_no_context_takeover);
    assert!(agreed.client_no_context_takeover || !wish.client_no_context_takeover);
    assert!(agreed.server_max_window_bits <= wish.server_max_window_bits);
    // A client that cannot be told to keep to a smaller window is taken as it is.
    assert!(
        agreed.client_max_window_bits <= wish.client_max_window_bits
            || server && agreed.client_max_window_bits == WindowBits::MAX
    );
    let own = |settings: &Settings| (settings.level, settings.min_len, settings.max_ratio);
    assert_eq!(own(agreed), own(wish));
}
