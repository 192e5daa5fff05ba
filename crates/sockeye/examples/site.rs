//! A web site on one listener: files, a WebSocket at `/live`, and JSON at `/api/`.
//!
//! ```text
//! site [ADDRESS [DIRECTORY]]
//! curl -d hello http://127.0.0.1:7681/api/say
//! curl http://127.0.0.1:7681/api/status
//! ```

use std::error::Error;

use sockeye::{
    Accepted, Conn, Engine, Exchange, Files, HeaderValue, Peer, Prepared, Protocol, Reject,
    Request, Response, StatusCode,
};

const LIVE: &str = "live";
/// The page that comes with this example.
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/site");

#[derive(Default)]
struct Site {
    said: u64,
}

impl Protocol for Site {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        conn.subscribe(LIVE);
        conn.send("connected");
    }

    fn body_limit(&mut self, request: &Request<'_>) -> u64 {
        match request.path() {
            "/api/say" => 1024,
            _ => 0,
        }
    }

    fn on_request(&mut self, http: &mut Exchange<'_>, request: &Request<'_>, body: &[u8]) {
        let response = match (request.method(), request.path()) {
            ("POST", "/api/say") => match str::from_utf8(body) {
                Ok(text) => {
                    self.said += 1;
                    let readers = http.core().publish(LIVE, &Prepared::text(text));
                    json(format!(r#"{{"readers":{readers}}}"#))
                }
                Err(_) => Response::error(StatusCode::BAD_REQUEST, "say it in UTF-8"),
            },
            ("GET" | "HEAD", "/api/status") => {
                let readers = http.core().subscriber_count(LIVE);
                json(format!(r#"{{"readers":{readers},"said":{}}}"#, self.said))
            }
            (_, "/api/say" | "/api/status") => Response::status(StatusCode::METHOD_NOT_ALLOWED),
            (_, "/live") => Response::upgrade_required(),
            _ => Response::status(StatusCode::NOT_FOUND),
        };
        http.respond(response);
    }
}

fn json(text: String) -> Response {
    Response::bytes(HeaderValue::from_static("application/json"), text)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next();
    let directory = arguments.next();

    let mut engine = Engine::new()?;
    let site = engine.host(Site::default());
    let files = Files::new(directory.as_deref().unwrap_or(DIRECTORY))?;
    let listener = engine
        .listen(address.as_deref().unwrap_or("127.0.0.1:7681"))?
        .files("/", files)
        .route("/live", site)
        .route("/api/*", site);
    println!("listening on http://{}/", listener.local_addr());
    engine.run()?;
    Ok(())
}
