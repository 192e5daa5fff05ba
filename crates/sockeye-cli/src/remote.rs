//! From what a user types for a server to what the engine connects to.
//!
//! Adds conveniences in front of [`ConnectOptions`], which alone decides what a URL may be.

use sockeye::ConnectOptions;

use crate::args::RemoteArgs;

/// The URL of a server, however it was written.
pub(crate) fn url(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    for (written, meant) in [("http://", "ws://"), ("https://", "wss://")] {
        if lower.starts_with(written) {
            return format!("{meant}{}", &text[written.len()..]);
        }
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return format!("ws+unix:{path}");
    }
    if has_scheme(text) || lower.starts_with("ws+unix:") {
        return text.to_owned();
    }
    // `:7681/echo`, as `serve --listen :7681` is written.
    if text.starts_with(':') {
        return format!("ws://127.0.0.1{text}");
    }
    format!("ws://{text}")
}

/// Whether it begins with `scheme://` (RFC 3986 §3.1). A query may hold a URL too.
fn has_scheme(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

/// All that was asked for.
pub(crate) fn options(args: &RemoteArgs) -> Result<ConnectOptions, sockeye::Error> {
    let mut options = ConnectOptions::new(&url(&args.url))?.timeout(args.timeout);
    for name in &args.subprotocols {
        options = options.subprotocol(name);
    }
    for (name, value) in &args.headers {
        options = options.header(name.clone(), value.clone());
    }
    if let Some(origin) = &args.origin {
        options = options.origin(origin);
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conveniences() {
        for (written, meant) in [
            ("ws://a/b", "ws://a/b"),
            ("wss://a/b", "wss://a/b"),
            ("http://a:1/b?c", "ws://a:1/b?c"),
            ("HTTPS://a", "wss://a"),
            ("a", "ws://a"),
            ("a:7681/echo", "ws://a:7681/echo"),
            ("127.0.0.1:7681/a?b=c://d", "ws://127.0.0.1:7681/a?b=c://d"),
            ("[::1]:7681", "ws://[::1]:7681"),
            (":7681/echo", "ws://127.0.0.1:7681/echo"),
            ("unix:/run/s:/echo", "ws+unix:/run/s:/echo"),
            ("ws+unix:/run/s", "ws+unix:/run/s"),
        ] {
            assert_eq!(url(written), meant, "{written}");
        }
    }
}
