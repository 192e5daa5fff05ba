//! Making, serving and ending an engine.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use sockeye::bus;
use sockeye::net::Bind;
use sockeye::poll::{Interest, Poller, Portable, Registrar, Token};
use sockeye::{
    Accepted, CloseCode, Conn, ConnectOptions, Core, Engine, Exchange, Handle, Limits, Peer,
    PollerKind, Protocol, Reject, Request, Response, Text, on_message,
};

use crate::fork::{Child, alone};
use crate::get;
use crate::visitor::{Visit, Visitor, until};

#[test]
fn create_and_destroy_context() {
    let limits = Limits {
        connections: Some(10),
        ..Limits::default()
    };
    let mut engine = Engine::builder()
        .limits(limits)
        .poller(PollerKind::Poll)
        .build()
        .unwrap();
    let echo = engine.host(on_message(|conn, message| {
        conn.send(message);
    }));
    let visitor = engine.host(Visitor);
    let listener = engine.listen("lo:0").unwrap().route("/", echo);
    let address = listener.local_addr().tcp().unwrap();
    assert!(address.ip().is_loopback(), "the interface's address");
    assert_ne!(address.port(), 0, "the port that was chosen");
    let absent = Bind::Interface {
        name: "no-such-interface".into(),
        port: 0,
    };
    assert!(engine.listen(absent).is_err(), "rather than everywhere");
    engine.drop_privileges(None, None).unwrap();

    let visit = Visit::open(&mut engine, visitor, &format!("ws://{address}/"));
    engine.shutdown(Duration::from_secs(30));
    let report = engine.run().unwrap();
    assert_eq!((report.closed, report.cut), (2, 0), "both ends live here");
    assert_eq!(visit.closed(&mut engine).code, CloseCode::GOING_AWAY);
    let handle = engine.handle();
    drop(engine);
    assert!(handle.with_core(|_| ()).is_err(), "the engine is gone");
}

struct Counter {
    name: &'static str,
}

impl Protocol for Counter {
    type Session = u32;

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<u32>, Reject> {
        Ok(Accepted::new(0))
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, count: &mut u32, text: Text<'_>) {
        *count += 1;
        conn.send(&format!("{} {text} {count}", self.name));
    }

    fn on_request(&mut self, http: &mut Exchange<'_>, request: &Request<'_>, _: &[u8]) {
        http.respond(Response::text(format!("{} {}", self.name, request.path())));
    }
}

#[test]
fn list_of_protocols() {
    let mut engine = Engine::new().unwrap();
    let http = engine.host(Counter { name: "http" });
    let dumb = engine.host(Counter { name: "dumb" });
    let visitor = engine.host(Visitor);
    let listener = engine
        .listen("127.0.0.1:0")
        .unwrap()
        .route("/*", http)
        .subprotocol("dumb-increment-protocol", dumb);
    let address = listener.local_addr().tcp().unwrap();
    let page = get(&mut engine, address, "/page");
    assert!(page.ends_with("http /page"), "{page}");

    let url = format!("ws://{address}/any");
    let options = ConnectOptions::new(&url).unwrap();
    let named = options.clone().subprotocol("dumb-increment-protocol");
    let named = Visit::begin(&mut engine, visitor, named);
    let other = Visit::open(&mut engine, visitor, &url);
    until(&mut engine, "the named one", |_| named.is_open());
    let subprotocol = engine.core().subprotocol(named.id);
    assert_eq!(subprotocol, Some("dumb-increment-protocol"));

    for (visit, answer) in [
        (&named, "dumb x 1"),
        (&other, "http x 1"),
        (&named, "dumb x 2"),
    ] {
        engine.core().send(visit.id, "x");
        visit.expect(&mut engine, answer);
    }
}

/// A loop of the program's own: somebody else's poller, and a diary of what it was told.
#[derive(Default)]
struct Loop {
    poller: Portable,
    told: Vec<(&'static str, RawFd, Interest)>,
}

impl Registrar for Loop {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.told.push(("add", fd.as_raw_fd(), interest));
        self.poller.add(fd, token, interest)
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.told.push(("modify", fd.as_raw_fd(), interest));
        self.poller.modify(fd, token, interest)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.told.push(("remove", fd.as_raw_fd(), Interest::NONE));
        self.poller.remove(fd)
    }
}

#[test]
fn service_and_poll_fd() {
    let outside = Rc::new(RefCell::new(Loop::default()));
    let mut engine = Engine::builder()
        .registrar(Rc::clone(&outside))
        .build()
        .unwrap();
    let echo = engine.host(on_message(|conn, message| {
        conn.send(message);
        conn.close(CloseCode::NORMAL, "");
    }));
    let visitor = engine.host(Visitor);
    let listener = engine.listen("127.0.0.1:0").unwrap().route("/", echo);
    let url = format!("ws://{}/", listener.local_addr());
    assert!(engine.run().is_err(), "the loop is not the engine's");

    let options = ConnectOptions::new(&url).unwrap();
    let visit = Visit::begin(&mut engine, visitor, options);
    let mut sent = false;
    let mut ready = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    while engine.core().stats().closed < 2 {
        assert!(Instant::now() < deadline);
        let timeout = engine
            .next_deadline()
            .map(|at| at.saturating_duration_since(Instant::now()));
        outside
            .borrow_mut()
            .poller
            .wait(&mut ready, timeout)
            .unwrap();
        engine.service(&ready, Instant::now());
        if visit.is_open() && !std::mem::replace(&mut sent, true) {
            engine.core().send(visit.id, "hello");
        }
    }
    assert_eq!(visit.take().len(), 1);
    drop(engine);

    let outside = outside.borrow();
    let told = |what| outside.told.iter().filter(move |(told, ..)| *told == what);
    // The waker, the listener, and both ends of the connection.
    assert_eq!(told("add").count(), 4);
    assert_eq!(told("remove").count(), 4, "nothing is left behind");
    let changed = ("modify", Interest::READ);
    let mut modified = told("modify").map(|(what, _, interest)| (*what, *interest));
    assert!(
        modified.any(|it| it == changed),
        "connected: now for reading"
    );
}

/// Ends its engine when there is nobody left to serve for.
struct Service(Handle);

impl Protocol for Service {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_bus_end(&mut self, _: &mut Core) {
        self.0.shutdown(Duration::from_secs(30)).unwrap();
    }
}

#[test]
fn fork_service_loop() {
    alone("from_libwebsockets::service::fork_service_loop", || {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let ends = bus::channel(&Limits::default()).unwrap();
        let (server, (sender, receiver)) = Child::start_with(ends, |(sender, receiver)| {
            drop(sender);
            let mut engine = Engine::new().unwrap();
            let service = Service(engine.handle());
            let service = engine.host(service);
            engine.attach(service, receiver).unwrap();
            let listener = engine.listen("127.0.0.1:0").unwrap().route("/", service);
            write!(writer, "ws://{}/", listener.local_addr()).unwrap();
            drop(writer);
            engine.run().unwrap();
        });
        drop(receiver);
        let mut url = String::new();
        reader.read_to_string(&mut url).unwrap();

        let mut engine = Engine::new().unwrap();
        let visitor = engine.host(Visitor);
        let visits = [(); 2].map(|()| Visit::open(&mut engine, visitor, &url));
        for news in ["one", "two"] {
            sender.send(news).unwrap();
            for visit in &visits {
                visit.expect(&mut engine, news);
            }
        }
        drop(sender);
        for visit in &visits {
            assert!(visit.closed(&mut engine).clean);
        }
        server.succeeds();
    });
}
