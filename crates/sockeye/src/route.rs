//! Which request goes where: paths and subprotocols of one listener.
//!
//! Pure matching over names; knows neither connections nor what a protocol does.

use std::collections::HashMap;
use std::sync::Arc;

use crate::files::Files;

/// What serves a request.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Protocol(u16),
    Files { files: Arc<Files>, mount: Arc<str> },
}

#[derive(Debug, Default)]
pub(crate) struct Routes {
    exact: HashMap<String, Target>,
    /// Longest first.
    prefixes: Vec<(String, Target)>,
    subprotocols: Vec<(String, u16)>,
}

impl Routes {
    /// A pattern is a path, or a prefix that ends in `*`. A missing leading slash is added.
    pub(crate) fn add(&mut self, pattern: &str, target: Target) {
        let pattern = match pattern.starts_with('/') {
            true => pattern.to_owned(),
            false => format!("/{pattern}"),
        };
        match pattern.strip_suffix('*') {
            None => drop(self.exact.insert(pattern, target)),
            Some(prefix) => {
                self.prefixes.retain(|(known, _)| known != prefix);
                self.prefixes.push((prefix.to_owned(), target));
                self.prefixes
                    .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
            }
        }
    }

    pub(crate) fn add_subprotocol(&mut self, name: &str, protocol: u16) {
        self.subprotocols.retain(|(known, _)| known != name);
        self.subprotocols.push((name.to_owned(), protocol));
    }

    /// Who serves this path: an exact route before a prefix, a longer prefix before a shorter one.
    pub(crate) fn find(&self, path: &str) -> Option<&Target> {
        self.find_exact(path).or_else(|| {
            self.prefixes
                .iter()
                .find(|(prefix, _)| path.starts_with(prefix))
                .map(|(_, t)| t)
        })
    }

    /// Who serves a WebSocket handshake, and under which subprotocol. A route of the very path
    /// decides first, then the first offered subprotocol that somebody speaks, then a prefix.
    pub(crate) fn find_socket<'o>(
        &self,
        path: &str,
        offered: &[&'o str],
    ) -> Option<(u16, Option<&'o str>)> {
        let spoken = |protocol: Option<u16>| {
            offered.iter().find_map(|&offer| {
                let speaker = self.subprotocols.iter().find(|(name, speaker)| {
                    name == offer && protocol.is_none_or(|protocol| protocol == *speaker)
                });
                speaker.map(|(_, speaker)| (*speaker, offer))
            })
        };
        if let Some(&Target::Protocol(protocol)) = self.find_exact(path) {
            return Some((protocol, spoken(Some(protocol)).map(|(_, name)| name)));
        }
        if let Some((protocol, name)) = spoken(None) {
            return Some((protocol, Some(name)));
        }
        match self.find(path) {
            Some(&Target::Protocol(protocol)) => Some((protocol, None)),
            _ => None,
        }
    }

    fn find_exact(&self, path: &str) -> Option<&Target> {
        self.exact.get(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let mut routes = Routes::default();
        routes.add("/chat", Target::Protocol(0));
        routes.add("api/*", Target::Protocol(1));
        routes.add("/api/v2/*", Target::Protocol(2));
        routes.add("*", Target::Protocol(3));
        routes.add_subprotocol("chat.v1", 0);
        routes.add_subprotocol("feed", 4);
        routes
    }

    fn protocol(target: Option<&Target>) -> Option<u16> {
        match target {
            Some(Target::Protocol(protocol)) => Some(*protocol),
            _ => None,
        }
    }

    #[test]
    fn the_longest_match_wins() {
        let routes = routes();
        for (path, expected) in [
            ("/chat", 0),
            ("/api/x", 1),
            ("/api/v2/x", 2),
            ("/chat/", 3),
            ("/", 3),
            ("/api", 3),
        ] {
            assert_eq!(protocol(routes.find(path)), Some(expected), "{path}");
        }
        assert_eq!(protocol(Routes::default().find("/")), None);
    }

    #[test]
    fn an_exact_path_beats_a_subprotocol_and_that_a_prefix() {
        let routes = routes();
        let find = |path, offers: &'static [&'static str]| routes.find_socket(path, offers);
        assert_eq!(
            find("/chat", &["feed", "chat.v1"]),
            Some((0, Some("chat.v1")))
        );
        assert_eq!(find("/chat", &["feed"]), Some((0, None)));
        assert_eq!(
            find("/else", &["x", "feed", "chat.v1"]),
            Some((4, Some("feed")))
        );
        assert_eq!(find("/else", &["x"]), Some((3, None)));
        assert_eq!(find("/api/v2/a", &[]), Some((2, None)));
    }
}
