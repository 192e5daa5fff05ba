//! tokio-tungstenite. The echo is that of its own example: `forward` flushes when no message is left
//! to read, not after each one. What is sent to all goes through a channel, as in its chat.
#![forbid(unsafe_code)]

use std::error::Error;
use std::future;

use futures_util::future::{Either, select};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sockeye_bench::tokio_peer::{self, BROADCAST, Library, Room, Stream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

#[derive(Clone, Default)]
struct Tungstenite {
    room: Room<Message>,
}

impl Library for Tungstenite {
    const NAME: &'static str = "tokio-tungstenite";

    async fn serve(self, stream: impl Stream) {
        let mut is_broadcast = false;
        #[expect(clippy::result_large_err, reason = "the library's type")]
        let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            is_broadcast = request.uri().path() == BROADCAST;
            Ok(response)
        };
        let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, look).await else {
            return;
        };
        let (write, read) = socket.split();
        let messages =
            read.try_filter(|message| future::ready(message.is_text() || message.is_binary()));
        // A client that goes away is no news.
        if !is_broadcast {
            drop(messages.forward(write).await);
            return;
        }
        let mut receiver = self.room.join();
        let all = stream::poll_fn(move |context| receiver.poll_recv(context));
        let hear = all.map(Ok).forward(write);
        let speak = messages.try_for_each(|message| {
            self.room.publish(&message);
            future::ready(Ok(()))
        });
        match select(hear, speak).await {
            Either::Left((ended, _)) => drop(ended),
            Either::Right((ended, _)) => drop(ended),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    tokio_peer::run(&Tungstenite::default())
}
