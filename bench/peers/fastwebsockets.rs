//! fastwebsockets, over hyper: its own example of an echo. What is sent to all goes through a channel.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::error::Error;

use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{
    FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError,
};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sockeye_bench::tokio_peer::{self, BROADCAST, Library, Room, Stream};

type Message = (OpCode, Bytes);

#[derive(Clone, Default)]
struct Fastwebsockets {
    room: Room<Message>,
}

impl Library for Fastwebsockets {
    const NAME: &'static str = "fastwebsockets";

    async fn serve(self, stream: impl Stream) {
        let service = service_fn(|mut request: Request<Incoming>| {
            let (room, upgraded) = (self.room.clone(), upgrade(&mut request));
            let is_broadcast = request.uri().path() == BROADCAST;
            async move {
                let Ok((response, socket)) = upgraded else {
                    return Ok(Response::builder()
                        .status(400)
                        .body(Empty::<Bytes>::new())
                        .unwrap_or_default());
                };
                tokio::spawn(tokio::task::unconstrained(async move {
                    // A client that goes away is no news.
                    drop(match is_broadcast {
                        true => broadcast(socket, room).await,
                        false => echo(socket).await,
                    });
                }));
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        drop(connection.with_upgrades().await);
    }
}

async fn echo(socket: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(socket.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn broadcast(socket: UpgradeFut, room: Room<Message>) -> Result<(), WebSocketError> {
    let (read, mut write) = socket.await?.split(tokio::io::split);
    let mut receiver = room.join();
    let hear = async move {
        while let Some((opcode, data)) = receiver.recv().await {
            let payload = Payload::Borrowed(&data);
            write
                .write_frame(Frame::new(true, opcode, None, payload))
                .await?;
        }
        Ok(())
    };
    let speak = async move {
        let mut read = FragmentCollectorRead::new(read);
        // The load generator sends nothing that has to be answered.
        let mut answer = |_| async { Ok::<_, WebSocketError>(()) };
        loop {
            let frame = read.read_frame(&mut answer).await?;
            match frame.opcode {
                OpCode::Close => return Ok(()),
                OpCode::Text | OpCode::Binary => {
                    room.publish(&(frame.opcode, Bytes::copy_from_slice(&frame.payload)));
                }
                _ => {}
            }
        }
    };
    tokio::select! {
        ended = hear => ended,
        ended = speak => ended,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    tokio_peer::run(&Fastwebsockets::default())
}
