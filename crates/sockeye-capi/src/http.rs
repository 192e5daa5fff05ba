//! Plain HTTP: requests for the program, and files that it answers with.

use std::ffi::{CString, c_int};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr;

use sockeye::{ConnId, FileBody, Request};

use crate::abi::LWS_CALLBACK_HTTP;
use crate::context::Context;
use crate::record::Record;

/// What a client gets that asked for a file which is not there.
const NOT_FOUND: &[u8] =
    b"HTTP/1.0 404 Not Found\r\nServer: libwebsockets\r\nContent-Length: 0\r\n\r\n";

impl Context {
    /// A request that is no handshake. The program answers while it is called, and the connection
    /// ends behind that.
    pub(crate) fn requested(&self, id: ConnId, request: &Request<'_>) {
        self.tell_news();
        let Some(record) = self.record_of(id) else {
            return;
        };
        let Ok(target) = CString::new(request.target()) else {
            return;
        };
        self.with_core(|core| core.take_over(id));
        let mut target = target.into_bytes_with_nul();
        let data = target.as_mut_ptr().cast();
        self.call(
            0,
            Some(&record),
            LWS_CALLBACK_HTTP,
            ptr::null_mut(),
            data,
            0,
        );
        // What is queued goes out, behind the program's back.
        self.drop_connection(&record);
    }

    /// Answers with a file, or that there is none. Returns 0 or -1.
    pub(crate) fn serve_file(
        &self,
        record: &Record,
        path: Option<&Path>,
        content_type: &[u8],
    ) -> c_int {
        let Some(id) = record.conn.get().filter(|_| record.may_write()) else {
            return -1;
        };
        let is_header_value = |byte: &u8| (b' '..=b'~').contains(byte) || *byte == b'\t';
        if !content_type.iter().all(is_header_value) {
            return -1;
        }
        let Some((path, file)) = path.and_then(|path| Some((path, open(path)?))) else {
            self.with_core(|core| core.send_raw(id, NOT_FOUND));
            return -1;
        };
        let mut head = b"HTTP/1.0 200 OK\r\nServer: libwebsockets\r\nContent-Type: ".to_vec();
        head.extend_from_slice(content_type);
        head.extend_from_slice(format!("\r\nContent-Length: {}\r\n\r\n", file.len()).as_bytes());
        let queued = self.with_core(|core| {
            core.send_raw(id, &head).is_sent()
                && (core.send_raw_file(id, file) || {
                    // A WebSocket has no place for a file.
                    let mut content = Vec::new();
                    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut content));
                    read.is_ok() && core.send_raw(id, &content).is_sent()
                })
        });
        if queued == Some(true) { 0 } else { -1 }
    }
}

/// A regular file. Others, such as directories and pipes, are not waited for.
fn open(path: &Path) -> Option<FileBody> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    FileBody::new(options.open(path).ok()?).ok()
}
