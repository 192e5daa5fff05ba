//! tokio-websockets. The echo is that of its documentation; what is sent to all is flushed when no
//! more is there.
#![forbid(unsafe_code)]

use std::error::Error;

use futures_util::{SinkExt as _, StreamExt as _};
use sockeye_bench::tokio_peer::{self, BROADCAST, Library, Room, Stream};
use tokio_websockets::{Message, ServerBuilder};

#[derive(Clone, Default)]
struct TokioWebsockets {
    room: Room<Message>,
}

impl Library for TokioWebsockets {
    const NAME: &'static str = "tokio-websockets";

    async fn serve(self, stream: impl Stream) {
        let Ok((request, mut socket)) = ServerBuilder::new().accept(stream).await else {
            return;
        };
        let is_message = |message: &Message| message.is_text() || message.is_binary();
        if request.uri().path() != BROADCAST {
            while let Some(Ok(message)) = socket.next().await {
                if is_message(&message) && socket.send(message).await.is_err() {
                    return;
                }
            }
            return;
        }
        let mut receiver = self.room.join();
        loop {
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(message)) if is_message(&message) => self.room.publish(&message),
                    Some(Ok(_)) => {}
                    _ => return,
                },
                message = receiver.recv() => {
                    let mut next = message;
                    while let Some(message) = next {
                        if socket.feed(message).await.is_err() {
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
}

fn main() -> Result<(), Box<dyn Error>> {
    tokio_peer::run(&TokioWebsockets::default())
}
