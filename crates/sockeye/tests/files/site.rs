//! A temporary site beside a secret that must not be served.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use sockeye::{Body, Response};
use sockeye::{FileRequest, Files};
use tempfile::TempDir;

/// The time of every request.
pub(crate) const NOW: u64 = 1_800_000_000;
/// The time of every file, and the same as HTTP says it.
pub(crate) const MODIFIED: u64 = 1_700_000_000;
pub(crate) const MODIFIED_DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
pub(crate) const SECRET: &str = "this is outside";

pub(crate) struct Site {
    directory: TempDir,
    pub(crate) files: Files,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Vec<u8>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("site");
        fs::create_dir(&root).unwrap();
        fs::create_dir(directory.path().join("outside")).unwrap();
        for path in ["secret.txt", "outside/secret.txt", "outside/index.html"] {
            fs::write(directory.path().join(path), SECRET).unwrap();
        }
        let files = Files::new(root).unwrap();
        Self { directory, files }
    }

    /// With these files in it, each with its own path as content.
    pub(crate) fn with(paths: &[&str]) -> Self {
        let site = Self::new();
        for path in paths {
            site.write(path, path);
        }
        site
    }

    pub(crate) fn set(mut self, change: impl FnOnce(Files) -> Files) -> Self {
        let files = Files::new(self.path("")).unwrap();
        self.files = change(files);
        self
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join("site").join(path)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(at(MODIFIED)).unwrap();
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[])
    }

    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.request("GET", path, headers)
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        Reply::from(self.respond(method, path, headers))
    }

    pub(crate) fn respond(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()));
        let request = FileRequest::new(method, path, at(NOW))
            .with_query(query)
            .with_headers(headers);
        self.files.respond(request)
    }

    pub(crate) fn etag(&self, path: &str) -> String {
        self.get(path).header("etag").to_owned()
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        let mut content = Vec::new();
        match response.body {
            Body::File(mut file) => {
                while file.read_piece(&mut content, 1000).unwrap() != 0 {}
                assert_eq!(content.len() as u64, file.len());
            }
            body => content.extend_from_slice(body.bytes().unwrap()),
        }
        Self {
            status: response.status.as_u16(),
            headers: response.headers,
            content,
        }
    }
}

impl Reply {
    /// The value of a field, empty when it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        assert!(
            self.headers.get_all(name).iter().count() < 2,
            "{name} twice"
        );
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.content).unwrap()
    }
}

pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
