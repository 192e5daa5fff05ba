//! Whether a conditional request goes on (RFC 9110 §13.2.2).
//!
//! Knows the order in which conditions count. Refuses to know how validators are made.
//!
//! Invariants: a condition on an entity tag silences the one on a date beside it; a date that
//! does not parse is no condition.

use std::time::SystemTime;

use super::request::FileRequest;
use super::validator::Validators;

#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// 412.
    Failed,
    /// 304.
    NotModified,
    Proceed,
}

/// Only for GET and HEAD of a file that is there.
pub(super) fn evaluate(request: &FileRequest<'_>, validators: &Validators) -> Outcome {
    let modified = validators.modified();
    if let Some(list) = &request.if_match {
        if !validators.matches_strongly(list) {
            return Outcome::Failed;
        }
    } else if holds(request.if_unmodified_since.as_deref(), modified, |m, d| {
        m > d
    }) {
        return Outcome::Failed;
    }
    if let Some(list) = &request.if_none_match {
        if validators.matches_weakly(list) {
            return Outcome::NotModified;
        }
    } else if holds(request.if_modified_since.as_deref(), modified, |m, d| {
        m <= d
    }) {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}

/// Whether the `Range` of a request counts: when `If-Range` does not say otherwise.
pub(super) fn range_applies(request: &FileRequest<'_>, validators: &Validators) -> bool {
    let validator = request.if_range.as_deref();
    validator.is_none_or(|validator| validators.matches_range(validator))
}

fn holds(
    date: Option<&str>,
    modified: Option<SystemTime>,
    order: fn(SystemTime, SystemTime) -> bool,
) -> bool {
    let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
    match (modified, date) {
        (Some(modified), Some(date)) => order(modified, date),
        _ => false,
    }
}
