//! sockudo-ws. Echo and publishing are those of its own examples.
#![forbid(unsafe_code)]

use std::error::Error;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use sockeye_bench::locked_in;
use sockeye_bench::tokio_peer::{self, BROADCAST, Library, Stream};
use sockudo_ws::handshake::server_handshake;
use sockudo_ws::pubsub::PubSub;
use sockudo_ws::{Config, Message, WebSocketStream};
use tokio::sync::mpsc::unbounded_channel;

const TOPIC: &str = "all";

#[derive(Clone, Default)]
struct Sockudo {
    pubsub: Arc<PubSub>,
}

impl Library for Sockudo {
    const NAME: &'static str = "sockudo-ws";

    fn version() -> String {
        locked_in(include_str!("../Cargo.lock"), Self::NAME)
    }

    async fn serve(self, mut stream: impl Stream) {
        let Ok(handshake) = server_handshake(&mut stream).await else {
            return;
        };
        let mut socket = WebSocketStream::server(stream, Config::default());
        if handshake.path != BROADCAST {
            while let Some(Ok(message)) = socket.next().await {
                if matches!(message, Message::Text(_) | Message::Binary(_))
                    && socket.send(message).await.is_err()
                {
                    return;
                }
            }
            return;
        }
        let (mut reader, mut writer) = socket.split();
        let (sender, mut receiver) = unbounded_channel();
        let subscriber = self.pubsub.create_subscriber(sender);
        self.pubsub.subscribe(subscriber, TOPIC);
        loop {
            tokio::select! {
                message = reader.next() => match message {
                    Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                        self.pubsub.publish(TOPIC, message);
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => {}
                },
                Some(message) = receiver.recv() => {
                    if writer.send(message).await.is_err() {
                        break;
                    }
                }
            }
        }
        self.pubsub.remove_subscriber(subscriber);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    tokio_peer::run(&Sockudo::default())
}
