//! Calls from a thread that does not serve.

use std::io::Read;
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;

use websockets::abi::*;
use websockets::export::*;

use super::program::*;
use super::wire::Peer;

/// A handle on its way to another thread.
struct Sent<T>(*mut T);

// SAFETY: a name, which no thread looks into.
unsafe impl<T> Send for Sent<T> {}

impl<T> Sent<T> {
    fn handle(&self) -> *mut T {
        self.0
    }
}

#[test]
fn another_thread_may_write_while_one_waits_without_end() {
    let (ready_by, ready) = mpsc::channel();
    let server = thread::spawn(move || {
        let program = Program::new();
        let mut peer = Peer::open(&program, Some("one"));
        let wsi = told_of(&[LWS_CALLBACK_ESTABLISHED])[0].wsi;
        let stream: TcpStream = peer.stream.try_clone().unwrap();
        ready_by
            .send((Sent(program.context), Sent(wsi), stream))
            .unwrap();
        while program.service(-1) == 0 {}
        assert_eq!(
            told_of(&[LWS_CALLBACK_CLOSED]).len(),
            0,
            "told where it was ended"
        );
        peer.rest();
    });
    let (context, wsi, mut stream) = ready.recv_timeout(PATIENCE).unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..100 {
        assert_eq!(write(wsi.handle(), b"from afar", LWS_WRITE_TEXT), 0);
        let mut frame = [0; 11];
        stream.read_exact(&mut frame).unwrap();
        assert_eq!(&frame, b"\x81\x09from afar");
    }
    let other = TcpStream::connect(stream.peer_addr().unwrap()).unwrap();
    close(wsi.handle(), LWS_CLOSE_STATUS_NORMAL);
    let mut close = [0; 4];
    stream.read_exact(&mut close).unwrap();
    assert_eq!(close, *b"\x88\x02\x03\xe8");
    // SAFETY: a live context, in which another thread waits.
    unsafe { libwebsocket_context_destroy(context.handle()) };
    drop(other);
    server.join().unwrap();
}
