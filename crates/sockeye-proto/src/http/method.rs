//! Which methods there are.
//!
//! Invariant: what is not implemented is refused before anybody is asked (501); what a resource
//! does not allow is the resource's business (405).

/// The methods of IANA's registry (RFC 9110 §16.1.1), but not CONNECT: this is no proxy, and a
/// 2xx to it would turn the connection into a tunnel. And not PRI, which is no method.
const IMPLEMENTED: [&str; 37] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// Whether a request with this method is handed on. Methods are case-sensitive (RFC 9110 §9.1).
pub(crate) fn is_implemented(method: &str) -> bool {
    method == "GET" || IMPLEMENTED.binary_search(&method).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_case_matters() {
        assert!(IMPLEMENTED.is_sorted());
        assert!(IMPLEMENTED.iter().all(|method| is_implemented(method)));
        for unknown in [
            "", "get", "Get", "GE", "GETT", "CONNECT", "PRI", "FOO", "PURGE",
        ] {
            assert!(!is_implemented(unknown), "{unknown}");
        }
    }
}
