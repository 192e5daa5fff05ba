//! `sockeye serve`: engines with the built-in endpoints, a page or a folder, and signals.
//!
//! Puts things together; what an endpoint does is its own module's business.

mod broadcast;
mod certificate;
mod echo;
mod increment;
mod log;
mod mirror;
mod page;

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::time::Duration;

use nix::unistd::{self, Gid, Uid, User};
use sockeye::net::{LocalAddr, raise_descriptor_limit};
use sockeye::tls::ServerTls;
use sockeye::{
    Engine, EngineBuilder, Files, Group, GroupHandle, Limits, ListenerMut, OriginPolicy,
    PollerKind, ProtocolKey, ShutdownReport,
};

use self::log::{Log, Logged};
use crate::args::{Driver, Origin, ServeArgs};
use crate::failure::Failure;
use crate::{signal, terminal};

/// How long connections may take to end after the first signal.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until a signal ends it.
pub(crate) fn run(args: ServeArgs) -> Result<(), Failure> {
    let log = Log::new(args.quiet, args.verbose);
    if let Err(error) = raise_descriptor_limit() {
        log.say(format_args!(
            "the limit of descriptors stays as it is: {error}"
        ));
    }
    let identity = Identity::find(args.user.as_deref(), args.group.as_deref())?;
    let origin = origin_policy(&args.origin)?;
    let tls = certificate::load(&args.tls)?;
    let threads = NonZeroUsize::new(args.threads).unwrap_or(NonZeroUsize::MIN);
    let certificates = args.tls.clone();
    let shared_tls = tls.clone();
    let driver = choose(args.driver, log);
    let mut group = Group::start(threads, move |builder, _| {
        set_up(
            builder.poller(driver),
            &args,
            &origin,
            shared_tls.as_ref(),
            log,
        )
    })?;
    let mut ready = String::new();
    for addr in group.local_addrs() {
        // Writing to a string cannot fail.
        let _ = match (addr, &tls) {
            (LocalAddr::Tcp(addr), None) => writeln!(ready, "listening on http://{addr}/"),
            (LocalAddr::Tcp(addr), Some(_)) => writeln!(ready, "listening on https://{addr}/"),
            (LocalAddr::Unix(path), _) => writeln!(ready, "listening on unix:{}", path.display()),
        };
    }
    group.drop_privileges(identity.uid, identity.gid)?;
    watch_signals(group.handle(), log)?;
    if let Some(tls) = tls {
        certificate::watch(certificates, tls, log)?;
    }
    terminal::print(ready.as_bytes())?;
    let report = group.run()?;
    farewell(report, log);
    Ok(())
}

/// The driver to use. Says why it is not the one that `auto` prefers.
fn choose(driver: Driver, log: Log) -> PollerKind {
    if !matches!(driver, Driver::Auto) {
        return driver.into();
    }
    match PollerKind::Uring.check() {
        Ok(()) => PollerKind::Uring,
        Err(error) => {
            log.say(format_args!("serving by epoll: {error}"));
            PollerKind::Epoll
        }
    }
}

/// Makes the engine of one thread. All are alike.
fn set_up(
    builder: EngineBuilder,
    args: &ServeArgs,
    origin: &OriginPolicy,
    tls: Option<&ServerTls>,
    log: Log,
) -> Result<Engine, Failure> {
    let mut engine = builder
        .limits(limits(args))
        .deflate(args.deflate.settings())
        .build()?;
    let endpoints = Endpoints::host(&mut engine, log);
    let page = engine.host(page::Page::new());
    for bind in &args.listen {
        let mut listener = endpoints.route(engine.listen(bind.clone())?);
        listener = match &args.dir {
            None => listener.route("*", page),
            Some(dir) => {
                let mut files = Files::new(dir)?;
                if let Some(value) = &args.cache_control {
                    files = files.cache_control(value)?;
                }
                listener.files("/", files)
            }
        };
        listener = listener.origin(origin.clone()).filter(move |peer| {
            log.connection(peer);
            true
        });
        if let (LocalAddr::Tcp(_), Some(tls)) = (listener.local_addr(), tls) {
            listener.tls(tls.clone());
        }
    }
    Ok(engine)
}

/// The first signal drains, the second one cuts.
fn watch_signals(handle: GroupHandle, log: Log) -> Result<(), Failure> {
    signal::watch(move |count| {
        let limit = match count {
            0 => DRAIN,
            _ => Duration::ZERO,
        };
        if count == 0 {
            log.say("closing all connections; once more cuts them");
        }
        // It fails if the engine has ended, which is what is wanted.
        let _ = handle.shutdown(limit);
    })
}

fn farewell(report: ShutdownReport, log: Log) {
    if report.cut > 0 {
        log.say(format_args!("connections cut: {}", report.cut));
    }
}

fn limits(args: &ServeArgs) -> Limits {
    let defaults = Limits::default();
    Limits {
        message_len: args.max_message,
        frame_len: args.max_message as u64,
        // What may be received may be sent back.
        backlog_len: defaults
            .backlog_len
            .max(args.max_message + defaults.high_water),
        connections: args.max_connections,
        connections_per_address: args.max_per_address,
        ..defaults
    }
}

fn origin_policy(origins: &[Origin]) -> Result<OriginPolicy, Failure> {
    let page = |origin: &Origin| match origin {
        Origin::Page(page) => Some(page.clone()),
        Origin::Any | Origin::Same => None,
    };
    match origins {
        [] | [Origin::Same] => Ok(OriginPolicy::Same),
        [Origin::Any] => Ok(OriginPolicy::Any),
        pages => match pages.iter().map(page).collect() {
            Some(pages) => Ok(OriginPolicy::List(pages)),
            None => Err(Failure::Options(
                "--origin: `same` and `any` stand alone; name this server's own origin beside others",
            )),
        },
    }
}

/// The built-in endpoints.
struct Endpoints {
    broadcast: ProtocolKey<Logged<broadcast::Broadcast>>,
    echo: ProtocolKey<Logged<echo::Echo>>,
    increment: ProtocolKey<Logged<increment::Increment>>,
    mirror: ProtocolKey<Logged<mirror::Mirror>>,
}

impl Endpoints {
    fn host(engine: &mut Engine, log: Log) -> Self {
        let mirror = engine.host(Logged::new("mirror", mirror::Mirror::default(), log));
        if let Some(hosted) = engine.protocol(mirror) {
            hosted.inner().join(mirror);
        }
        Self {
            broadcast: engine.host(Logged::new("broadcast", broadcast::Broadcast, log)),
            echo: engine.host(Logged::new("echo", echo::Echo, log)),
            increment: engine.host(Logged::new("increment", increment::Increment, log)),
            mirror,
        }
    }

    fn route<'e>(&self, listener: ListenerMut<'e>) -> ListenerMut<'e> {
        listener
            .route("/broadcast", self.broadcast)
            .subprotocol("broadcast", self.broadcast)
            .route("/echo", self.echo)
            .subprotocol("echo", self.echo)
            .route("/increment", self.increment)
            .subprotocol("dumb-increment-protocol", self.increment)
            .route("/mirror", self.mirror)
            .subprotocol("lws-mirror-protocol", self.mirror)
    }
}

/// Whom to become.
#[derive(Debug)]
struct Identity {
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Identity {
    fn find(user: Option<&str>, group: Option<&str>) -> Result<Self, Failure> {
        let mut identity = Self {
            uid: None,
            gid: None,
        };
        if let Some(name) = user {
            let known = match name.parse() {
                Ok(uid) => {
                    identity.uid = Some(uid);
                    User::from_uid(Uid::from_raw(uid))
                }
                Err(_) => User::from_name(name),
            };
            match known {
                Ok(Some(user)) => {
                    identity.uid = Some(user.uid.as_raw());
                    identity.gid = Some(user.gid.as_raw());
                }
                // A number needs no entry, but then nothing says which group goes with it.
                _ if identity.uid.is_some() && group.is_some() => {}
                _ if identity.uid.is_some() => {
                    return Err(Failure::Nobody(format!(
                        "--user {name}: there is no such user; give --group too"
                    )));
                }
                _ => {
                    return Err(Failure::Nobody(format!(
                        "--user {name}: there is no such user"
                    )));
                }
            }
        }
        if let Some(name) = group {
            let known = match name.parse() {
                Ok(gid) => Some(Gid::from_raw(gid)),
                Err(_) => unistd::Group::from_name(name)
                    .ok()
                    .flatten()
                    .map(|group| group.gid),
            };
            let gid = known.ok_or_else(|| {
                Failure::Nobody(format!("--group {name}: there is no such group"))
            })?;
            identity.gid = Some(gid.as_raw());
        }
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_one_policy() {
        let page = |text: &str| Origin::Page(text.to_owned());
        assert_eq!(origin_policy(&[Origin::Same]).unwrap(), OriginPolicy::Same);
        assert_eq!(origin_policy(&[Origin::Any]).unwrap(), OriginPolicy::Any);
        let list = OriginPolicy::List(vec!["https://a".to_owned(), "https://b".to_owned()]);
        let pages = [page("https://a"), page("https://b")];
        assert_eq!(origin_policy(&pages).unwrap(), list);
        assert!(origin_policy(&[Origin::Same, page("https://a")]).is_err());
        assert!(origin_policy(&[Origin::Any, Origin::Any]).is_err());
    }

    #[test]
    fn whatever_size_is_asked_for_the_limits_hold_together() {
        for max_message in [1, 1 << 10, 16 << 20, 64 << 20, 1 << 40] {
            let args = ServeArgs {
                max_message,
                ..ServeArgs::default()
            };
            assert_eq!(limits(&args).check(), Ok(()), "{max_message}");
        }
    }

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        let root = Identity::find(Some("root"), None).unwrap();
        assert_eq!((root.uid, root.gid), (Some(0), Some(0)));
        let by_number = Identity::find(Some("0"), Some("7")).unwrap();
        assert_eq!((by_number.uid, by_number.gid), (Some(0), Some(7)));
        let unknown = Identity::find(Some("4294967290"), Some("4294967290")).unwrap();
        assert_eq!(unknown.uid, Some(4_294_967_290));
        assert!(Identity::find(Some("4294967290"), None).is_err());
        assert!(Identity::find(Some("no such user"), None).is_err());
        assert!(Identity::find(None, Some("no such group")).is_err());
    }
}
