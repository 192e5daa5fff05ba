//! From what a user types for a server to what the engine connects to.
//!
//! Adds conveniences in front of [`ConnectOptions`], which alone decides what a URL may be.

use anstyle::Style;
use sockeye::tls::{ClientTls, ClientTlsOptions, Identity, Roots, TlsError};
use sockeye::{ConnectCause, ConnectError, ConnectOptions, HandshakeError};

use crate::args::{ClientTlsArgs, RemoteArgs, Resolve};
use crate::failure::Failure;
use crate::narrator::Narrator;
use crate::password;

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

/// All that was asked for. With `--verbose`, `say` gets a line for everything that goes over the
/// connection.
pub(crate) fn options(
    args: &RemoteArgs,
    say: impl Fn(Style, &str) + Send + Sync + 'static,
) -> Result<ConnectOptions, Failure> {
    let mut options = ConnectOptions::new(&url(&args.url))?
        .timeout(args.timeout)
        .max_redirects(args.max_redirects);
    for name in &args.subprotocols {
        options = options.subprotocol(name);
    }
    for (name, value) in &args.headers {
        options = options.header(name.clone(), value.clone());
    }
    if let Some(origin) = &args.origin {
        options = options.origin(origin);
    }
    for (name, value) in &args.cookies {
        options = options.cookie(name, value)?;
    }
    if let Some(token) = &args.bearer {
        options = options.bearer_auth(token)?;
    }
    if let Some(user) = &args.user {
        let password = match &user.password {
            Some(password) => password.clone(),
            None => password::ask(&user.name, &options.url())?,
        };
        options = options.basic_auth(&user.name, &password)?;
    }
    if let Some(proxy) = &args.proxy {
        options = options.proxy(proxy.clone());
    }
    for Resolve {
        host,
        port,
        address,
    } in &args.resolve
    {
        options = options.resolve(host, *port, *address);
    }
    if let Some(tls) = tls(&args.tls)? {
        options = options.tls(tls);
    }
    if args.verbose {
        let narrator = Narrator::new(say);
        options = options.trace(move |trace| narrator.tell(trace));
    }
    Ok(options)
}

/// TLS as it was asked for; `None` for the engine's own way.
fn tls(args: &ClientTlsArgs) -> Result<Option<ClientTls>, Failure> {
    let ClientTlsArgs {
        ca,
        cert,
        key,
        insecure,
        tls_backend,
    } = args;
    if ca.is_empty() && cert.is_none() && !insecure && tls_backend.is_none() {
        return Ok(None);
    }
    let mut roots = match ca.is_empty() {
        true => Roots::system(),
        false => Roots::none(),
    };
    for file in ca {
        roots = roots.with_pem_file(file)?;
    }
    let mut options = ClientTlsOptions::new(roots);
    if *insecure {
        options = options.dangerous_without_verification();
    }
    if let Some(cert) = cert {
        let key = key.as_ref().unwrap_or(cert);
        options = options.identity(Identity::from_pem_files(cert, key)?);
    }
    if let Some(backend) = tls_backend {
        options = options.backend(backend.backend()?);
    }
    Ok(Some(ClientTls::new(options)?))
}

/// Why a connection did not open, with a word on what helps if an option does.
pub(crate) fn failure(error: &ConnectError) -> Failure {
    let hint = match error.cause() {
        ConnectCause::Tls(TlsError::Certificate(_)) => {
            " (--ca FILE names whom to trust, --insecure trusts anybody)"
        }
        ConnectCause::Tls(TlsError::NotTls) => " (ws:// is without TLS)",
        _ => "",
    };
    Failure::Connect(format!("{error}{hint}"))
}

/// Whether another attempt is likely to end the same way.
pub(crate) fn is_final(error: &ConnectError) -> bool {
    match error.cause() {
        ConnectCause::Setup(_) | ConnectCause::Request(_) | ConnectCause::Redirect(_) => true,
        ConnectCause::Tls(error) => matches!(
            error,
            TlsError::Certificate(_) | TlsError::NotTls | TlsError::NoRoots
        ),
        ConnectCause::Handshake(HandshakeError::Refused(refusal)) => {
            let status = refusal.status.as_u16();
            // Timeout, too early, too many: those pass.
            refusal.status.is_client_error() && ![408, 425, 429].contains(&status)
        }
        _ => false,
    }
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
