//! yawc, over hyper: its documentation's upgrade. The echo reads and sends frame by frame; what is
//! sent to all goes through a channel, and is flushed when no more is there.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::error::Error;

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sockeye_bench::tokio_peer::{self, BROADCAST, Library, Room, Stream};
use yawc::{Frame, OpCode, UpgradeFut, WebSocket};

#[derive(Clone, Default)]
struct Yawc {
    room: Room<Frame>,
}

impl Library for Yawc {
    const NAME: &'static str = "yawc";

    async fn serve(self, stream: impl Stream) {
        let service = service_fn(|mut request: Request<Incoming>| {
            let (room, upgraded) = (self.room.clone(), WebSocket::upgrade(&mut request));
            let is_broadcast = request.uri().path() == BROADCAST;
            async move {
                let Ok((response, socket)) = upgraded else {
                    return Ok(Response::builder()
                        .status(400)
                        .body(Empty::<Bytes>::new())
                        .unwrap_or_default());
                };
                tokio::spawn(async move {
                    match is_broadcast {
                        true => broadcast(socket, room).await,
                        false => echo(socket).await,
                    }
                });
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        drop(connection.with_upgrades().await);
    }
}

fn is_message(frame: &Frame) -> bool {
    matches!(frame.opcode(), OpCode::Text | OpCode::Binary)
}

async fn echo(socket: UpgradeFut) {
    let Ok(mut socket) = socket.await else {
        return;
    };
    while let Some(frame) = socket.next().await {
        if is_message(&frame) && socket.send(frame).await.is_err() {
            return;
        }
    }
}

async fn broadcast(socket: UpgradeFut, room: Room<Frame>) {
    let Ok(mut socket) = socket.await else {
        return;
    };
    let mut receiver = room.join();
    loop {
        tokio::select! {
            frame = socket.next() => match frame {
                Some(frame) if is_message(&frame) => room.publish(&frame),
                Some(_) => {}
                None => return,
            },
            frame = receiver.recv() => {
                let mut next = frame;
                while let Some(frame) = next {
                    if socket.feed(frame).await.is_err() {
                        return;
                    }
                    next = receiver.try_recv().ok();
                }
                if socket.flush().await.is_err() {
                    return;
                }
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    tokio_peer::run(&Yawc::default())
}
