//! A directory as a web site: a request in, a response out.
//!
//! Knows HTTP semantics of files: names, representations, conditions, ranges. Refuses to know
//! connections, the engine's loop and the clock (the request carries the time).
//!
//! Invariants: nothing outside the directory is ever opened, whatever the request's path or the
//! symlinks say (`target`, `node`); opening never blocks; only regular files are sent, and never
//! from memory; nothing of a request gets into a response head undecoded and unescaped.
//!
//! One request goes through `target` (which name below the root), `node` (what is there),
//! `coding` (which representation of it), `condition` (does the client want it) and `range`
//! (which bytes of it).

mod coding;
mod condition;
mod multipart;
mod node;
mod range;
mod request;
mod target;
mod validator;

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ::http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    LAST_MODIFIED, LOCATION, VARY, X_CONTENT_TYPE_OPTIONS,
};
use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use cap_std::ambient_authority;
use cap_std::fs::Dir;

use self::coding::{Acceptance, Coding};
use self::condition::Outcome;
use self::node::{Node, RegularFile};
use self::range::Selection;
use self::target::Target;
use self::validator::Validators;
use crate::http::{Body, FileBody, FilePart, Response};

pub use self::request::FileRequest;

/// The files of a directory, served by GET and HEAD.
///
/// - Symlinks are followed as long as they stay inside the directory; a link with an absolute
///   target counts as leading out, even when it points back in.
/// - Names that begin with a dot do not exist, except `/.well-known/` (RFC 8615).
/// - A directory answers with its index file, or 404: there is no listing. Without the slash at
///   the end it redirects to the path with one.
/// - Empty path segments are skipped (`//a` is `/a`).
/// - `name.br` and `name.gz` beside `name` are sent in its place to clients that accept them.
///   Whoever changes `name` makes them anew: they are not compared with it.
/// - A `Range` header with more than 16 ranges, or one that breaks the syntax, is ignored;
///   overlapping and adjoining ranges are sent as one. A single range is sent as such, several
///   as `multipart/byteranges`. `Range` means nothing to HEAD (RFC 9110 §14.2).
///
/// ```
/// use std::time::SystemTime;
/// use sockeye::{FileRequest, Files};
///
/// let directory = tempfile::tempdir()?;
/// std::fs::write(directory.path().join("index.html"), "<h1>Hello</h1>")?;
///
/// let files = Files::new(directory.path())?.cache_control("max-age=3600")?;
/// let response = files.respond(FileRequest::new("GET", "/", SystemTime::now()));
/// assert_eq!(response.status, 200);
/// assert_eq!(response.headers["content-type"], "text/html; charset=utf-8");
/// assert_eq!(response.body.len(), Some(14));
///
/// let response = files.respond(FileRequest::new("GET", "/../secret", SystemTime::now()));
/// assert_eq!(response.status, 404);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Files {
    root: Dir,
    index: String,
    cache_control: Option<HeaderValue>,
    precompressed: bool,
    dotfiles: bool,
}

impl Files {
    /// Opens the directory. It stays the same one when its path is renamed or replaced later.
    ///
    /// # Errors
    /// The path cannot be opened as a directory.
    pub fn new(directory: impl AsRef<Path>) -> Result<Self, FilesError> {
        let path = directory.as_ref();
        let root =
            Dir::open_ambient_dir(path, ambient_authority()).map_err(|error| FilesError::Open {
                path: path.to_owned(),
                error,
            })?;
        Ok(Self {
            root,
            index: String::from("index.html"),
            cache_control: None,
            precompressed: true,
            dotfiles: false,
        })
    }

    /// Sends this `Cache-Control` with every file (and every 304); by default none.
    ///
    /// # Errors
    /// The text is not a header value.
    pub fn cache_control(mut self, value: &str) -> Result<Self, FilesError> {
        let value = HeaderValue::from_str(value).map_err(|_| FilesError::CacheControl)?;
        self.cache_control = Some(value);
        Ok(self)
    }

    /// The name of the file that a directory answers with; by default `index.html`.
    #[must_use]
    pub fn index(mut self, name: impl Into<String>) -> Self {
        self.index = name.into();
        self
    }

    /// Whether `.br` and `.gz` siblings are sent in place of the file; by default they are.
    #[must_use]
    pub fn precompressed(mut self, on: bool) -> Self {
        self.precompressed = on;
        self
    }

    /// Whether names that begin with a dot are served like others; by default they are not.
    #[must_use]
    pub fn dotfiles(mut self, on: bool) -> Self {
        self.dotfiles = on;
        self
    }

    /// The answer to a request; never fails and never waits for anything but the disk.
    ///
    /// | status | when |
    /// | --- | --- |
    /// | 200, 206 | the file, or ranges of it |
    /// | 204 | OPTIONS, with `Allow` |
    /// | 301 | a directory without the slash at the end |
    /// | 304, 412 | conditional requests (RFC 9110 §13) |
    /// | 400 | the path is not well-formed: bad percent-encoding, NUL, not UTF-8 |
    /// | 403 | the system denies reading the file |
    /// | 404 | no regular file of that name inside the directory |
    /// | 405 | any other method, with `Allow` |
    /// | 416 | no range lies within the file |
    /// | 500, 503 | the disk fails; descriptors or memory are short |
    ///
    /// The answer to HEAD carries the same fields and body as that to GET: whoever writes it
    /// leaves the body away.
    #[must_use]
    pub fn respond(&self, request: FileRequest<'_>) -> Response {
        let mut response = self.answer(&request).unwrap_or_else(Response::status);
        // An error page must not be sniffed either: its text is not always ours.
        response
            .headers
            .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    fn answer(&self, request: &FileRequest<'_>) -> Result<Response, StatusCode> {
        match request.method {
            "GET" | "HEAD" => {}
            "OPTIONS" => return Ok(allow(StatusCode::NO_CONTENT)),
            _ => return Ok(allow(StatusCode::METHOD_NOT_ALLOWED)),
        }
        let target = Target::parse(request.path, request.mount)?;
        if target.is_hidden() && !self.dotfiles {
            return Err(StatusCode::NOT_FOUND);
        }
        if target.has_slash() {
            let name = target.name_of(&self.index);
            return match Node::open(&self.root, &name)? {
                Node::File(file) => self.representation(request, &name, file),
                Node::Directory | Node::Special => Err(StatusCode::NOT_FOUND),
            };
        }
        let name = target.name();
        match Node::open(&self.root, &name)? {
            Node::File(file) => self.representation(request, &name, file),
            Node::Directory => redirect(&target.location(request.query)),
            Node::Special => Err(StatusCode::NOT_FOUND),
        }
    }

    fn representation(
        &self,
        request: &FileRequest<'_>,
        name: &str,
        file: RegularFile,
    ) -> Result<Response, StatusCode> {
        let mut chosen = (file, None);
        let mut varies = false;
        if self.precompressed {
            let acceptance = Acceptance::parse(request.accept_encoding.as_deref());
            let mut best = acceptance.identity();
            for coding in Coding::ALL {
                // A sibling that cannot be sent is none; the file itself is there.
                let sibling = Node::open(&self.root, &format!("{name}{}", coding.suffix()));
                let Ok(Node::File(sibling)) = sibling else {
                    continue;
                };
                varies = true;
                let weight = acceptance.weight(coding);
                if weight > best {
                    best = weight;
                    chosen = (sibling, Some(coding));
                }
            }
        }
        let (file, coding) = chosen;
        let validators = Validators::new(&file, coding, request.now);

        let mut headers = HeaderMap::with_capacity(10);
        headers.insert(ETAG, validators.etag().clone());
        if varies {
            headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        if let Some(value) = &self.cache_control {
            headers.insert(CACHE_CONTROL, value.clone());
        }
        match condition::evaluate(request, &validators) {
            Outcome::Proceed => {}
            // RFC 9110 §15.4.5: of the representation's metadata, only what a cache needs.
            Outcome::NotModified => {
                let mut response = Response::new(StatusCode::NOT_MODIFIED);
                response.headers = headers;
                return Ok(response);
            }
            Outcome::Failed => return Err(StatusCode::PRECONDITION_FAILED),
        }
        if let Some(value) = validators.last_modified() {
            headers.insert(LAST_MODIFIED, value);
        }
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));

        let mut response = Response::new(StatusCode::OK);
        response.headers = headers;
        let range = request
            .range
            .as_deref()
            .filter(|_| request.method == "GET" && condition::range_applies(request, &validators));
        send(response, file, &content_type(name), range)
    }
}

/// Why a directory cannot be served.
#[derive(Debug)]
#[non_exhaustive]
pub enum FilesError {
    /// The text for `Cache-Control` is not a header value.
    CacheControl,
    /// The directory cannot be opened.
    Open {
        /// The path as given.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CacheControl => f.write_str("Cache-Control holds a control character"),
            Self::Open { path, error } => write!(f, "open {}: {error}", path.display()),
        }
    }
}

impl Error for FilesError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::CacheControl => None,
            Self::Open { error, .. } => Some(error),
        }
    }
}

fn allow(status: StatusCode) -> Response {
    let mut response = Response::status(status);
    let methods = HeaderValue::from_static("GET, HEAD, OPTIONS");
    response.headers.insert(ALLOW, methods);
    response
}

fn redirect(location: &str) -> Result<Response, StatusCode> {
    let mut response = Response::status(StatusCode::MOVED_PERMANENTLY);
    response.headers.insert(LOCATION, value(location)?);
    Ok(response)
}

/// Fills in the content of `file`, or the `range` of it, and the fields that describe it.
fn send(
    mut response: Response,
    file: RegularFile,
    content_type: &str,
    range: Option<&str>,
) -> Result<Response, StatusCode> {
    let total = file.len;
    let whole = FilePart::Range {
        offset: 0,
        len: total,
    };
    let selection = range.map_or(Selection::Whole, |range| range::select(range, total));
    let (field, text, parts): (HeaderName, _, _) = match selection {
        Selection::Whole => (CONTENT_TYPE, content_type.to_owned(), vec![whole]),
        Selection::One(span) => {
            response.status = StatusCode::PARTIAL_CONTENT;
            response
                .headers
                .insert(CONTENT_RANGE, value(&span.content_range(total))?);
            (CONTENT_TYPE, content_type.to_owned(), vec![span.part()])
        }
        Selection::Several(spans) => {
            response.status = StatusCode::PARTIAL_CONTENT;
            let boundary = multipart::boundary();
            // The parts are coded, the multipart around them is not.
            let coding = response.headers.remove(CONTENT_ENCODING);
            let coding = coding.as_ref().and_then(|coding| coding.to_str().ok());
            let parts = multipart::parts(&spans, total, content_type, coding, &boundary);
            (CONTENT_TYPE, multipart::content_type(&boundary), parts)
        }
        Selection::Unsatisfiable => {
            let mut refusal = Response::status(StatusCode::RANGE_NOT_SATISFIABLE);
            let text = format!("bytes */{total}");
            refusal.headers.insert(CONTENT_RANGE, value(&text)?);
            let bytes = HeaderValue::from_static("bytes");
            refusal.headers.insert(ACCEPT_RANGES, bytes);
            return Ok(refusal);
        }
    };
    response.headers.insert(field, value(&text)?);
    // Nothing to read: the descriptor need not wait for its turn to be sent.
    if total != 0 {
        let body = FileBody::from_parts(file.file, parts);
        response.body = Body::File(body.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?);
    }
    Ok(response)
}

fn content_type(name: &str) -> String {
    let essence = match mime_guess::from_path(name).first_raw() {
        // RFC 9239 §6: the old name of the same; `mime_guess` gives each to some suffixes.
        Some("application/javascript") => "text/javascript",
        Some(essence) => essence,
        None => "application/octet-stream",
    };
    // Without a charset a browser guesses, and old ones guess Latin-1.
    if essence.starts_with("text/") {
        format!("{essence}; charset=utf-8")
    } else {
        essence.to_owned()
    }
}

/// Only texts made here come this way, so the error is for the type's sake.
fn value(text: &str) -> Result<HeaderValue, StatusCode> {
    HeaderValue::from_str(text).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
