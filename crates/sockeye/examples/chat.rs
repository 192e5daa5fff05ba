//! A chat: each path is a room, and everybody in a room reads what is said there.
//!
//! ```text
//! chat [ADDRESS]
//! ws://127.0.0.1:7681/rooms/kitchen?name=Ada
//! ```

use sockeye::{
    Accepted, CloseInfo, Conn, Engine, Error, Peer, Protocol, Reject, Request, Response,
    StatusCode, Text,
};
use url::form_urlencoded;

struct Chat;

struct Guest {
    room: String,
    name: String,
}

impl Protocol for Chat {
    type Session = Guest;

    fn accept(&mut self, request: &Request<'_>, _: &Peer) -> Result<Accepted<Guest>, Reject> {
        let room = request.path().trim_start_matches("/rooms/");
        let query = request.query().unwrap_or_default();
        let name = form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == "name")
            .map(|(_, name)| name.into_owned());
        // What others will read must not be able to look like a line of somebody else.
        match name {
            Some(name) if is_name(&name) && is_name(room) => Ok(Accepted::new(Guest {
                room: room.to_owned(),
                name,
            })),
            _ => Err(bad_request("connect to /rooms/ROOM?name=NAME, of letters and digits").into()),
        }
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, guest: &mut Guest) {
        conn.subscribe(&guest.room);
        let present = conn.core().subscriber_count(&guest.room);
        conn.send(&format!("* welcome to {}: {present} here", guest.room));
        conn.publish_to_others(&guest.room, &format!("* {} came in", guest.name));
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, guest: &mut Guest, text: Text<'_>) {
        conn.publish(&guest.room, &format!("{}: {text}", guest.name));
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, guest: Guest, _: &CloseInfo) {
        conn.publish_to_others(&guest.room, &format!("* {} left", guest.name));
    }
}

fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.chars().all(|c| c.is_alphanumeric() || c == '-')
}

fn bad_request(explanation: &str) -> Response {
    Response::error(StatusCode::BAD_REQUEST, explanation)
}

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1);
    let mut engine = Engine::new()?;
    let chat = engine.host(Chat);
    let listener = engine
        .listen(address.as_deref().unwrap_or("127.0.0.1:7681"))?
        .route("/rooms/*", chat);
    println!("listening on ws://{}/rooms/", listener.local_addr());
    engine.run().map(drop)
}
