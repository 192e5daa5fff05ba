//! Which descriptors are polled, for what, and what the program is told about it.
//!
//! There are two sets. The *open* one has everything; the library's own loop waits on it. What a
//! program with a loop of its own polls are the *shown* descriptors, listeners and connections, and
//! one more: the *hidden* set, which is readable when something is ready that is not shown (the
//! engine's waker, connections that the program has been told are over), or when a timer has run
//! out. The timer is in both, since another thread may set it while the library waits.
//!
//! Nothing here calls the program: what it is to be told waits in `news`, in order. Each descriptor
//! that was shown is taken back exactly once.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use sockeye::poll::{Interest, Ready, Registrar, Token};

/// `POLLIN` and `POLLOUT`, as programs know them.
pub(crate) const POLLIN: i16 = libc::POLLIN;
/// As above.
pub(crate) const POLLOUT: i16 = libc::POLLOUT;

/// Reports that one wait fetches at most; the rest is reported by the next.
const REPORTS: usize = 1024;

/// What the descriptors that are registered at the moment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The engine's own.
    Internal,
    /// Sockets that are listened on.
    Listener,
    /// Connections.
    Connection,
}

/// Something to tell the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Add {
        fd: RawFd,
        token: Token,
        kind: Kind,
        events: i16,
    },
    Delete {
        fd: RawFd,
        token: Token,
    },
    Set {
        fd: RawFd,
        token: Token,
        events: i16,
    },
    Clear {
        fd: RawFd,
        token: Token,
        events: i16,
    },
}

#[derive(Debug)]
struct Watched {
    token: Token,
    kind: Kind,
    /// What the engine waits for.
    interest: Interest,
    /// The program waits for room.
    wants_room: bool,
    /// The program wants to receive nothing.
    paused: bool,
    shown: bool,
    /// What is polled for.
    events: i16,
    /// What the program was told to poll for.
    told: i16,
}

impl Watched {
    fn wanted(&self) -> i16 {
        let reads = self.interest.readable && !self.paused;
        let writes = self.interest.writable || self.wants_room;
        (if reads { POLLIN } else { 0 }) | (if writes { POLLOUT } else { 0 })
    }
}

/// All descriptors of a context.
#[derive(Debug)]
pub(crate) struct WatchList {
    /// Shared, so that the wait needs nothing else of this.
    open: Arc<OwnedFd>,
    hidden: OwnedFd,
    timer: OwnedFd,
    /// What the hidden set is registered under with the program.
    hidden_token: Token,
    hidden_is_shown: bool,
    watched: HashMap<RawFd, Watched>,
    by_token: HashMap<Token, RawFd>,
    news: VecDeque<News>,
    /// What is being registered.
    pub(crate) adding: Kind,
}

impl WatchList {
    pub(crate) fn new(hidden_token: Token) -> io::Result<Self> {
        let list = Self {
            open: Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?),
            hidden: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            timer: timerfd_create(
                TimerfdClockId::Monotonic,
                TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
            )?,
            hidden_token,
            hidden_is_shown: false,
            watched: HashMap::new(),
            by_token: HashMap::new(),
            news: VecDeque::new(),
            adding: Kind::Internal,
        };
        list.watch_timer()?;
        Ok(list)
    }

    fn watch_timer(&self) -> io::Result<()> {
        let data = data(self.timer.as_raw_fd());
        epoll::add(&self.hidden, &self.timer, data, EventFlags::IN)?;
        Ok(epoll::add(&*self.open, &self.timer, data, EventFlags::IN)?)
    }

    /// What the library's own loop waits on.
    pub(crate) fn open_set(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.open)
    }

    /// The descriptor that stands for everything that is not shown.
    pub(crate) fn hidden_fd(&self) -> RawFd {
        self.hidden.as_raw_fd()
    }

    /// Lets the program poll for what is hidden, too.
    pub(crate) fn show_hidden(&mut self) {
        if !std::mem::replace(&mut self.hidden_is_shown, true) {
            self.news.push_back(News::Add {
                fd: self.hidden_fd(),
                token: self.hidden_token,
                kind: Kind::Internal,
                events: POLLIN,
            });
        }
    }

    /// Takes back everything but connections.
    pub(crate) fn hide_fixtures(&mut self) {
        let listeners = self.watched.values();
        let listeners = listeners.filter(|watched| watched.kind == Kind::Listener);
        let tokens: Vec<Token> = listeners.map(|watched| watched.token).collect();
        for token in tokens {
            self.hide(token);
        }
        if std::mem::replace(&mut self.hidden_is_shown, false) {
            self.news.push_back(News::Delete {
                fd: self.hidden_fd(),
                token: self.hidden_token,
            });
        }
    }

    pub(crate) fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    pub(crate) fn forget_news(&mut self) {
        self.news.clear();
    }

    pub(crate) fn fd_of(&self, token: Token) -> Option<RawFd> {
        self.by_token.get(&token).copied()
    }

    /// What a shown descriptor is.
    pub(crate) fn shown(&self, fd: RawFd) -> Option<(Token, Kind)> {
        let watched = self.watched.get(&fd).filter(|watched| watched.shown)?;
        Some((watched.token, watched.kind))
    }

    /// Whether the engine itself waits for room there.
    pub(crate) fn engine_wants_room(&self, token: Token) -> bool {
        let watched = self.fd_of(token).and_then(|fd| self.watched.get(&fd));
        watched.is_some_and(|watched| watched.interest.writable)
    }

    /// The program waits for room. It is told so in any case.
    pub(crate) fn want_room(&mut self, token: Token) {
        let Some((fd, watched)) = self.find(token) else {
            return;
        };
        watched.wants_room = true;
        if watched.shown {
            watched.told |= POLLOUT;
            self.news.push_back(News::Set {
                fd,
                token,
                events: POLLOUT,
            });
        }
        self.poll(fd);
    }

    /// There is room, or nobody asks any more.
    pub(crate) fn has_room(&mut self, token: Token) {
        if let Some((fd, watched)) = self.find(token) {
            watched.wants_room = false;
            self.poll(fd);
            self.tell(fd);
        }
    }

    /// The program wants to receive nothing, or again. It is told so in any case.
    pub(crate) fn pause(&mut self, token: Token, paused: bool) {
        let Some((fd, watched)) = self.find(token) else {
            return;
        };
        watched.paused = paused;
        let events = POLLIN;
        let news = if paused {
            watched.told &= !events;
            News::Clear { fd, token, events }
        } else {
            // The engine is about to want the same: it goes on as soon as it looks.
            watched.told |= events;
            News::Set { fd, token, events }
        };
        if watched.shown {
            self.news.push_back(news);
        }
        self.poll(fd);
    }

    /// From here on the program has nothing to do with a descriptor. Returns whether it had.
    pub(crate) fn hide(&mut self, token: Token) -> bool {
        let Some((fd, watched)) = self.find(token) else {
            return false;
        };
        if !std::mem::replace(&mut watched.shown, false) {
            return false;
        }
        watched.wants_room = false;
        watched.paused = false;
        let flags = flags(watched.wanted());
        self.news.push_back(News::Delete { fd, token });
        // Should it fail, only a program with a loop of its own notices: by the next timer.
        let _ = epoll::add(&self.hidden, borrow(fd), data(fd), flags);
        self.poll(fd);
        true
    }

    /// When the hidden set is to be readable, ready or not; `None`: not for the time.
    pub(crate) fn set_timer(&self, after: Option<Duration>) {
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let it_value = after.map_or(zero, |after| Timespec {
            tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            // Zero would mean never.
            tv_nsec: i64::from(after.subsec_nanos()).max(1),
        });
        let spec = Itimerspec {
            it_interval: zero,
            it_value,
        };
        // A valid time on a timer of our own: it does not fail.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec);
    }

    /// What of the hidden is ready now. The timer is not, once it was reported.
    pub(crate) fn hidden_ready(&self, ready: &mut Vec<Ready>) {
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut events = Vec::with_capacity(REPORTS);
        if epoll::wait(&self.hidden, spare_capacity(&mut events), Some(&at_once)).is_err() {
            return;
        }
        self.acknowledge_timer(&events);
        self.reports(&events, ready);
    }

    /// Takes note of the timer, if that is what a wait found.
    pub(crate) fn acknowledge_timer(&self, events: &[epoll::Event]) -> bool {
        let timer = self.timer.as_raw_fd();
        let has_run_out = events.iter().any(|event| number(event) == timer);
        if has_run_out {
            // The count of it does not matter.
            let _ = rustix::io::read(&self.timer, &mut [0_u8; 8]);
        }
        has_run_out
    }

    /// Waits at most this long for one of them, and for nothing else. `None`: nothing came, or a
    /// signal did.
    pub(crate) fn wait_for(&self, token: Token, timeout: Option<Duration>) -> Option<Ready> {
        let fd = self.fd_of(token)?;
        let interest = self.watched.get(&fd)?.interest;
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::IN, interest.readable);
        wanted.set(PollFlags::OUT, interest.writable);
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        let fd = borrow(fd);
        let mut entry = [PollFd::new(&fd, wanted)];
        let count = poll(&mut entry, timeout.as_ref()).ok()?;
        let found = entry[0].revents();
        (count > 0).then(|| Ready {
            token,
            readable: found.contains(PollFlags::IN),
            writable: found.contains(PollFlags::OUT),
            hangup: found.intersects(PollFlags::HUP | PollFlags::ERR),
        })
    }

    /// Translates what a wait found.
    pub(crate) fn reports(&self, events: &[epoll::Event], ready: &mut Vec<Ready>) {
        for event in events {
            if let Some(watched) = self.watched.get(&number(event)) {
                let flags = event.flags;
                ready.push(Ready {
                    token: watched.token,
                    readable: flags.contains(EventFlags::IN),
                    writable: flags.contains(EventFlags::OUT),
                    hangup: flags.intersects(EventFlags::HUP | EventFlags::ERR),
                });
            }
        }
    }

    /// Makes the sets anew, for a process that was forked off: what a set has in it is shared with
    /// the parent otherwise, and so is what is taken out.
    ///
    /// # Errors
    ///
    /// What the system said; the old sets stay.
    pub(crate) fn renew(&mut self) -> io::Result<()> {
        let open = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (fd, watched) in &self.watched {
            epoll::add(&open, borrow(*fd), data(*fd), flags(watched.events))?;
        }
        let hidden = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (fd, watched) in self.watched.iter().filter(|(_, watched)| !watched.shown) {
            epoll::add(&hidden, borrow(*fd), data(*fd), flags(watched.events))?;
        }
        // Under the number that the program knows.
        rustix::io::dup3(&hidden, &mut self.hidden, rustix::io::DupFlags::CLOEXEC)?;
        self.open = Arc::new(open);
        self.watch_timer()
    }

    fn find(&mut self, token: Token) -> Option<(RawFd, &mut Watched)> {
        let fd = self.fd_of(token)?;
        Some((fd, self.watched.get_mut(&fd)?))
    }

    /// Polls for what is wanted now.
    fn poll(&mut self, fd: RawFd) {
        let Some(watched) = self.watched.get_mut(&fd) else {
            return;
        };
        let events = watched.wanted();
        if std::mem::replace(&mut watched.events, events) == events {
            return;
        }
        let shown = watched.shown;
        // It fails for a descriptor that is closed already, which its owner will find out.
        let _ = epoll::modify(&*self.open, borrow(fd), data(fd), flags(events));
        if !shown {
            let _ = epoll::modify(&self.hidden, borrow(fd), data(fd), flags(events));
        }
    }

    /// Tells the program what is polled for now, if that is news.
    fn tell(&mut self, fd: RawFd) {
        let Some(watched) = self.watched.get_mut(&fd).filter(|watched| watched.shown) else {
            return;
        };
        let (token, events) = (watched.token, watched.events);
        let told = std::mem::replace(&mut watched.told, events);
        let (set, clear) = (events & !told, told & !events);
        if clear != 0 {
            self.news.push_back(News::Clear {
                fd,
                token,
                events: clear,
            });
        }
        if set != 0 {
            self.news.push_back(News::Set {
                fd,
                token,
                events: set,
            });
        }
    }

    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let number = fd.as_raw_fd();
        let kind = self.adding;
        let mut watched = Watched {
            token,
            kind,
            interest,
            wants_room: false,
            paused: false,
            shown: kind != Kind::Internal,
            events: 0,
            told: 0,
        };
        watched.events = watched.wanted();
        watched.told = watched.events;
        let flags = flags(watched.events);
        epoll::add(&*self.open, fd, data(number), flags)?;
        if watched.shown {
            self.news.push_back(News::Add {
                fd: number,
                token,
                kind,
                events: watched.events,
            });
        } else if let Err(errno) = epoll::add(&self.hidden, fd, data(number), flags) {
            let _ = epoll::delete(&*self.open, fd);
            return Err(errno.into());
        }
        self.by_token.insert(token, number);
        self.watched.insert(number, watched);
        Ok(())
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let number = fd.as_raw_fd();
        let Some(watched) = self.watched.get_mut(&number) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let before = std::mem::replace(&mut watched.token, token);
        watched.interest = interest;
        if before != token {
            self.by_token.remove(&before);
            self.by_token.insert(token, number);
        }
        self.poll(number);
        self.tell(number);
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let number = fd.as_raw_fd();
        let Some(watched) = self.watched.remove(&number) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        self.by_token.remove(&watched.token);
        let _ = epoll::delete(&*self.open, fd);
        if watched.shown {
            self.news.push_back(News::Delete {
                fd: number,
                token: watched.token,
            });
        } else {
            let _ = epoll::delete(&self.hidden, fd);
        }
        Ok(())
    }
}

/// Waits on an open set: what it found, untranslated.
///
/// # Errors
///
/// What the system says, interruptions included.
pub(crate) fn wait(
    open: &OwnedFd,
    timeout: Option<Duration>,
    events: &mut Vec<epoll::Event>,
) -> Result<(), Errno> {
    events.clear();
    events.reserve(REPORTS);
    // Not before the time has come, or a deadline would be looked at too early, again and again.
    let millis = timeout.map(|timeout| timeout.as_nanos().div_ceil(1_000_000));
    let timeout = millis.map(|millis| {
        let millis = i64::try_from(millis)
            .unwrap_or(i64::MAX)
            .min(i64::from(i32::MAX));
        Timespec {
            tv_sec: millis / 1000,
            tv_nsec: millis % 1000 * 1_000_000,
        }
    });
    epoll::wait(open, spare_capacity(events), timeout.as_ref())?;
    Ok(())
}

/// What the engine is given for a poller.
#[derive(Clone, Debug)]
pub(crate) struct SharedWatchList(pub(crate) Rc<RefCell<WatchList>>);

impl Registrar for SharedWatchList {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.0.borrow_mut().add(fd, token, interest)
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.0.borrow_mut().modify(fd, token, interest)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.0.borrow_mut().remove(fd)
    }
}

fn data(fd: RawFd) -> EventData {
    EventData::new_u64(u64::from(fd.cast_unsigned()))
}

fn number(event: &epoll::Event) -> RawFd {
    // Made by `data`, so it is one.
    RawFd::try_from(event.data.u64()).unwrap_or(-1)
}

fn flags(events: i16) -> EventFlags {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, events & POLLIN != 0);
    flags.set(EventFlags::OUT, events & POLLOUT != 0);
    flags
}

#[allow(unsafe_code, reason = "descriptors are known by number here")]
fn borrow<'fd>(fd: RawFd) -> BorrowedFd<'fd> {
    // SAFETY: a registered descriptor stays open until it is removed, by the contract of
    // `Registrar`, and only registered ones come here. What is made of it is the argument of one
    // system call, which takes a number and answers EBADF for one that is not open.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    const HIDDEN: Token = Token(99);
    const CONNECTION: Token = Token(1);

    fn list() -> WatchList {
        let mut list = WatchList::new(HIDDEN).unwrap();
        list.adding = Kind::Connection;
        list
    }

    fn news(list: &mut WatchList) -> Vec<&'static str> {
        std::iter::from_fn(|| list.next_news())
            .map(|news| match news {
                News::Add { events, .. } if events == POLLIN => "add in",
                News::Add { .. } => "add",
                News::Delete { .. } => "delete",
                News::Set { events, .. } if events == POLLIN => "set in",
                News::Set { events, .. } if events == POLLOUT => "set out",
                News::Clear { events, .. } if events == POLLIN => "clear in",
                News::Clear { events, .. } if events == POLLOUT => "clear out",
                News::Set { .. } | News::Clear { .. } => "both",
            })
            .collect()
    }

    #[test]
    fn what_the_engine_wants_is_told_as_it_changes() {
        let (near, _far) = UnixStream::pair().unwrap();
        let mut list = list();
        list.add(near.as_fd(), CONNECTION, Interest::READ).unwrap();
        assert_eq!(news(&mut list), ["add in"]);
        let modify = |list: &mut WatchList, interest| {
            list.modify(near.as_fd(), CONNECTION, interest).unwrap();
            news(list)
        };
        assert_eq!(modify(&mut list, Interest::BOTH), ["set out"]);
        assert_eq!(modify(&mut list, Interest::BOTH), [""; 0]);
        assert_eq!(modify(&mut list, Interest::WRITE), ["clear in"]);
        assert_eq!(modify(&mut list, Interest::READ), ["clear out", "set in"]);
        list.remove(near.as_fd()).unwrap();
        assert_eq!(news(&mut list), ["delete"]);
        assert!(list.remove(near.as_fd()).is_err());
        assert_eq!(news(&mut list), [""; 0]);
    }

    #[test]
    fn what_the_program_wants_is_told_at_once_and_always() {
        let (near, _far) = UnixStream::pair().unwrap();
        let mut list = list();
        list.add(near.as_fd(), CONNECTION, Interest::READ).unwrap();
        news(&mut list);
        list.want_room(CONNECTION);
        list.want_room(CONNECTION);
        assert_eq!(news(&mut list), ["set out", "set out"]);
        list.has_room(CONNECTION);
        assert_eq!(news(&mut list), ["clear out"]);
        list.pause(CONNECTION, true);
        // The engine finds out later.
        list.modify(near.as_fd(), CONNECTION, Interest::NONE)
            .unwrap();
        assert_eq!(news(&mut list), ["clear in"]);
        list.pause(CONNECTION, false);
        list.modify(near.as_fd(), CONNECTION, Interest::READ)
            .unwrap();
        assert_eq!(news(&mut list), ["set in"]);
        // Room that the engine waits for itself is not taken away.
        list.modify(near.as_fd(), CONNECTION, Interest::BOTH)
            .unwrap();
        list.want_room(CONNECTION);
        news(&mut list);
        list.has_room(CONNECTION);
        assert_eq!(news(&mut list), [""; 0]);
    }

    #[test]
    fn what_is_hidden_is_taken_back_once_and_still_heard_of() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut list = list();
        list.add(near.as_fd(), CONNECTION, Interest::READ).unwrap();
        news(&mut list);
        assert!(list.hide(CONNECTION));
        assert!(!list.hide(CONNECTION));
        assert_eq!(news(&mut list), ["delete"]);
        assert_eq!(list.shown(near.as_raw_fd()), None);
        let mut ready = Vec::new();
        list.hidden_ready(&mut ready);
        assert!(ready.is_empty());
        drop(far);
        list.hidden_ready(&mut ready);
        assert_eq!((ready.len(), ready[0].token), (1, CONNECTION));
        list.renew().unwrap();
        ready.clear();
        list.hidden_ready(&mut ready);
        assert_eq!(ready.len(), 1, "also in a process that was forked off");
        list.remove(near.as_fd()).unwrap();
        assert_eq!(news(&mut list), [""; 0]);
    }

    #[test]
    fn the_timer_wakes_whoever_waits() {
        let list = list();
        let mut events = Vec::new();
        wait(&list.open_set(), Some(Duration::ZERO), &mut events).unwrap();
        assert!(events.is_empty());
        list.set_timer(Some(Duration::ZERO));
        wait(&list.open_set(), None, &mut events).unwrap();
        assert!(list.acknowledge_timer(&events));
        wait(&list.open_set(), Some(Duration::ZERO), &mut events).unwrap();
        assert!(!list.acknowledge_timer(&events));
    }
}
