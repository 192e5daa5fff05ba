//! The protocol core of sockeye: RFC 6455 and HTTP/1.1 as values. Bytes in, events out, bytes
//! out, one deadline.
#![forbid(unsafe_code)]
