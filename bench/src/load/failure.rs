//! Why a load ended early.

use std::error::Error;
use std::fmt;
use std::io;

#[derive(Debug)]
pub(crate) enum Failure {
    /// What was being done, and what the system said.
    Io(&'static str, io::Error),
    /// The server did something wrong.
    Server(String),
    /// Something took too long.
    Late(&'static str),
}

impl Failure {
    /// For `map_err`.
    pub(crate) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io(doing, error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(doing, error) => write!(f, "{doing}: {error}"),
            Self::Server(what) => write!(f, "the server {what}"),
            Self::Late(what) => write!(f, "{what} took too long"),
        }
    }
}

impl Error for Failure {}
