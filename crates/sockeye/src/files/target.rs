//! From the path of a request to a name below the root.
//!
//! Knows percent-encoding and which names are none. Refuses to know the file system: whether a
//! name exists, and where its symlinks lead, is `node`'s affair.
//!
//! Invariants: decoding happens once; a [`Target`]'s components are plain names, so that joining
//! them with slashes can neither climb nor start at another root; a location is built from the
//! decoded components, so it begins with exactly one slash whatever the request looked like.

use std::borrow::Cow;

use ::http::StatusCode;
use percent_encoding::{
    AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode,
};

#[derive(Debug, PartialEq)]
pub(super) struct Target<'a> {
    /// All components of the path, those of the mount included.
    components: Vec<Cow<'a, str>>,
    /// How many of them belong to the mount.
    mounted: usize,
    slash: bool,
}

impl<'a> Target<'a> {
    /// The error is the status to answer with.
    pub(super) fn parse(path: &'a str, mount: &str) -> Result<Self, StatusCode> {
        let components = split(path)?;
        let mount = split(if mount.is_empty() { "/" } else { mount })?;
        if !components.starts_with(&mount) {
            return Err(StatusCode::NOT_FOUND);
        }
        let mounted = mount.len();
        if !components.iter().skip(mounted).all(|name| is_plain(name)) {
            return Err(StatusCode::NOT_FOUND);
        }
        Ok(Self {
            components,
            mounted,
            slash: path.ends_with('/'),
        })
    }

    /// Whether a directory is meant.
    pub(super) fn has_slash(&self) -> bool {
        self.slash
    }

    /// Whether a component begins with a dot, other than a leading `.well-known`.
    pub(super) fn is_hidden(&self) -> bool {
        self.below()
            .enumerate()
            .any(|(index, name)| name.starts_with('.') && !(index == 0 && name == ".well-known"))
    }

    /// The path below the root; `.` for the root itself.
    pub(super) fn name(&self) -> String {
        let name = self.below().collect::<Vec<_>>().join("/");
        if name.is_empty() {
            String::from(".")
        } else {
            name
        }
    }

    /// The path below the root of a file in this directory.
    pub(super) fn name_of(&self, file: &str) -> String {
        self.below().chain([file]).collect::<Vec<_>>().join("/")
    }

    /// The same path with one slash at the end, encoded anew, and the query as it came.
    pub(super) fn location(&self, query: Option<&str>) -> String {
        let mut location = String::from("/");
        for name in &self.components {
            location.extend(utf8_percent_encode(name, NOT_IN_COMPONENT));
            location.push('/');
        }
        if let Some(query) = query {
            location.push('?');
            location.extend(utf8_percent_encode(query, NOT_IN_QUERY));
        }
        location
    }

    fn below(&self) -> impl Iterator<Item = &str> {
        self.components.iter().skip(self.mounted).map(AsRef::as_ref)
    }
}

/// RFC 3986 §3.3 `pchar`, which has no need of being encoded: all else is.
const NOT_IN_COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// A query is passed on in the encoding that it has; only what may be in no header value, or
/// would end the query, is encoded.
const NOT_IN_QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'#');

/// Empty segments are skipped: to a file system `a//b` is `a/b`, and links with one slash too
/// many are common.
fn split(path: &str) -> Result<Vec<Cow<'_, str>>, StatusCode> {
    let Some(path) = path.strip_prefix('/') else {
        return Err(StatusCode::BAD_REQUEST);
    };
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(decode)
        .collect()
}

fn decode(segment: &str) -> Result<Cow<'_, str>, StatusCode> {
    let mut escapes = segment.split('%');
    escapes.next();
    let well_formed = escapes.all(|escape| {
        let digits = escape.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    // Overlong forms are not UTF-8 either, so `%c0%ae` ends here.
    let decoded = percent_decode_str(segment).decode_utf8();
    match decoded {
        Ok(name) if well_formed && !name.contains('\0') => Ok(name),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

/// Whether a decoded component can only be a name in its directory, on this system or on one
/// that takes backslashes and drive letters for separators.
fn is_plain(name: &str) -> bool {
    let drive = matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    !drive && !matches!(name, "." | "..") && !name.contains(['/', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    fn name(path: &str) -> Result<String, u16> {
        Target::parse(path, "/")
            .map(|target| target.name())
            .map_err(|status| status.as_u16())
    }

    #[test]
    fn names_are_decoded_once() {
        for (path, expected) in [
            ("/", "."),
            ("//", "."),
            ("/a", "a"),
            ("/a/", "a"),
            ("/a//b", "a/b"),
            ("//a/b", "a/b"),
            ("/a%20b", "a b"),
            ("/%61%2e%62", "a.b"),
            ("/%252e%252e/a", "%2e%2e/a"),
            ("/a%252fb", "a%2fb"),
            ("/gr%C3%BC%c3%9fe", "grüße"),
            ("/grüße", "grüße"),
            ("/...", "..."),
            ("/a..b/..c", "a..b/..c"),
            ("/a?b#c", "a?b#c"),
            ("/a+b", "a+b"),
            ("/::1", "::1"),
        ] {
            assert_eq!(name(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for (path, status) in [
            ("", 400),
            ("a", 400),
            ("*", 400),
            ("http://host/a", 400),
            ("/%", 400),
            ("/%4", 400),
            ("/%4g", 400),
            ("/%%41", 400),
            ("/%+1", 400),
            ("/a%00", 400),
            ("/a%00.html", 400),
            ("/a\0b", 400),
            ("/%ff", 400),
            ("/%c0%ae%c0%ae/a", 400),
            ("/%c0%af", 400),
            ("/%e0%80%ae", 400),
            ("/%ed%a0%80", 400),
            ("/%f4%90%80%80", 400),
            ("/.", 404),
            ("/..", 404),
            ("/../a", 404),
            ("/a/..", 404),
            ("/a/../b", 404),
            ("/a/../../b", 404),
            ("/a/./b", 404),
            ("/%2e%2e/a", 404),
            ("/.%2E/a", 404),
            ("/%2e/a", 404),
            ("/..%2fa", 404),
            ("/a%2fb", 404),
            ("/%2fetc%2fpasswd", 404),
            ("/a\\b", 404),
            ("/..\\a", 404),
            ("/..%5ca", 404),
            ("/%5c%5chost%5ca", 404),
            ("/c:", 404),
            ("/C:/a", 404),
            ("/c%3a%5ca", 404),
            ("/a/d:b", 404),
        ] {
            assert_eq!(name(path), Err(status), "{path:?}");
        }
    }

    #[test]
    fn dotfiles_are_hidden_but_well_known() {
        for (path, hidden) in [
            ("/a", false),
            ("/a.b", false),
            ("/.git/config", true),
            ("/a/.env", true),
            ("/%2eenv", true),
            ("/...", true),
            ("/.well-known/acme", false),
            ("/.well-known/", false),
            ("/.well-known/.x", true),
            ("/a/.well-known/x", true),
            ("/.well-knownx", true),
        ] {
            let target = Target::parse(path, "/").unwrap();
            assert_eq!(target.is_hidden(), hidden, "{path}");
        }
    }

    #[test]
    fn the_mount_is_taken_off_by_components() {
        for (path, mount, expected) in [
            ("/s/a", "/s", Ok("a")),
            ("/s/a", "/s/", Ok("a")),
            ("/s/a", "", Ok("s/a")),
            ("/%73/a", "/s", Ok("a")),
            ("/s", "/s", Ok(".")),
            ("/s/", "/s", Ok(".")),
            ("/s/t/a", "/s/t", Ok("a")),
            ("/sa", "/s", Err(404)),
            ("/", "/s", Err(404)),
            ("/s/../a", "/s", Err(404)),
            ("/a", "s", Err(400)),
        ] {
            let target = Target::parse(path, mount).map(|target| target.name());
            let target = target.map_err(|status| status.as_u16());
            assert_eq!(
                target.as_deref(),
                expected.as_ref().copied(),
                "{path} {mount}"
            );
        }
        let hidden = Target::parse("/.s/a", "/.s").unwrap();
        assert!(!hidden.is_hidden(), "the mount is the program's choice");
        let well_known = Target::parse("/s/.well-known/a", "/s").unwrap();
        assert!(!well_known.is_hidden());
    }

    #[test]
    fn a_location_stays_on_this_host_and_on_one_line() {
        for (path, query, expected) in [
            ("/a", None, "/a/"),
            ("/a/b", Some("x=1&y=%20"), "/a/b/?x=1&y=%20"),
            ("/a", Some(""), "/a/?"),
            ("//host", None, "/host/"),
            ("///host//a", None, "/host/a/"),
            ("/%0d%0aSet-Cookie:x", None, "/%0D%0ASet-Cookie:x/"),
            ("/%3Cb%3E%22", None, "/%3Cb%3E%22/"),
            ("/a%3fb%23c%25", None, "/a%3Fb%23c%25/"),
            ("/ü", None, "/%C3%BC/"),
            (
                "/a",
                Some("x\r\ny: z ü\"#"),
                "/a/?x%0D%0Ay:%20z%20%C3%BC%22%23",
            ),
        ] {
            let target = Target::parse(path, "/").unwrap();
            assert_eq!(target.location(query), expected);
        }
        let mounted = Target::parse("/s/a", "/s").unwrap();
        assert_eq!(mounted.location(None), "/s/a/");
    }

    #[test]
    fn the_index_is_in_the_directory() {
        assert_eq!(Target::parse("/", "/").unwrap().name_of("i"), "i");
        assert_eq!(Target::parse("/a/", "/").unwrap().name_of("i"), "a/i");
    }

    proptest! {
        #[test]
        fn any_path_is_refused_or_goes_straight_down(
            path in prop_oneof![
                "\\PC{0,40}",
                "/(\\.|/|\\\\|%2e|%2E|%2f|%5c|%25|%00|%c0%ae|a|c:|\\u{2025}){0,24}",
                any::<String>(),
            ],
            query in proptest::option::of(any::<String>()),
        ) {
            if let Ok(target) = Target::parse(&path, "/") {
                let name = target.name();
                if name != "." {
                    for component in Path::new(&name).components() {
                        prop_assert!(matches!(component, Component::Normal(_)), "{name:?}");
                    }
                }
                prop_assert!(!name.contains('\0'));
                let location = target.location(query.as_deref());
                prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(location.starts_with('/') && !location.starts_with("//"));
                // What it redirects to is the same directory.
                let path = location.split('?').next().unwrap();
                prop_assert_eq!(Target::parse(path, "/").unwrap().name(), name);
            }
        }
    }
}
