//! What went wrong, counted by kind, with the first of each kind told in full.

use std::collections::BTreeMap;
use std::fmt;

/// Different texts that are counted each on its own.
const MOST_TEXTS: usize = 8;
/// What all others are counted as.
const OTHERS: &str = "others";

/// Something that should not have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// A connection did not open.
    Connect,
    /// A connection ended before we closed it.
    Lost,
    /// A message did not come back: in time, or at all.
    Missing,
    /// A message had to wait so long to be sent that the load was over.
    Unsent,
    /// A message came back with other bytes.
    WrongContent,
    /// A message came back shorter or longer.
    WrongLength,
    /// Text came back as binary, or the other way round.
    WrongKind,
    /// A message came behind one that was sent later.
    OutOfOrder,
    /// A message came that nobody had sent, or that had come already.
    Unasked,
    /// The server was silent for too long.
    Stalled,
}

impl Fault {
    /// As a field of JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Lost => "lost",
            Self::Missing => "missing",
            Self::Unsent => "unsent",
            Self::WrongContent => "wrong_content",
            Self::WrongLength => "wrong_length",
            Self::WrongKind => "wrong_kind",
            Self::OutOfOrder => "out_of_order",
            Self::Unasked => "unasked",
            Self::Stalled => "stalled",
        }
    }
}

/// In the plural, behind a number.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connections not opened",
            Self::Lost => "connections lost",
            Self::Missing => "messages that did not come",
            Self::Unsent => "messages that could not be sent in time",
            Self::WrongContent => "messages with wrong content",
            Self::WrongLength => "messages with a wrong length",
            Self::WrongKind => "messages of the wrong kind",
            Self::OutOfOrder => "messages out of order",
            Self::Unasked => "messages that nobody sent, or twice",
            Self::Stalled => "stalls that ended the run",
        })
    }
}

/// All of a kind.
#[derive(Debug, Default)]
struct Kind {
    count: u64,
    texts: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    kinds: BTreeMap<Fault, Kind>,
}

impl Faults {
    /// Counts one, told as `text`.
    pub(super) fn add(&mut self, fault: Fault, text: impl fmt::Display) {
        let kind = self.kinds.entry(fault).or_default();
        kind.count += 1;
        // Of messages the first is told: each has another text. Of connections, what the system says.
        let by_text = matches!(fault, Fault::Connect | Fault::Lost);
        if !by_text && !kind.texts.is_empty() {
            return;
        }
        let mut text = text.to_string();
        if !kind.texts.contains_key(&text) && kind.texts.len() >= MOST_TEXTS {
            OTHERS.clone_into(&mut text);
        }
        *kind.texts.entry(text).or_default() += 1;
    }

    /// Counts many, of which there is nothing to tell.
    pub(super) fn add_many(&mut self, fault: Fault, count: u64) {
        if count > 0 {
            self.kinds.entry(fault).or_default().count += count;
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.kinds.values().map(|kind| kind.count).sum()
    }

    pub(super) fn count(&self, fault: Fault) -> u64 {
        self.kinds.get(&fault).map_or(0, |kind| kind.count)
    }

    /// Each kind that occurred: how often, and what there is to tell of it, by how often.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Fault, u64, Vec<(&str, u64)>)> {
        self.kinds.iter().map(|(fault, kind)| {
            let texts = kind.texts.iter();
            let mut texts: Vec<_> = texts.map(|(text, count)| (&**text, *count)).collect();
            texts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            (*fault, kind.count, texts)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_connections_are_counted_and_bounded() {
        let mut faults = Faults::default();
        for _ in 0..3 {
            faults.add(Fault::Lost, "reset");
        }
        for number in 0..20 {
            faults.add(Fault::Lost, number);
        }
        assert_eq!((faults.total(), faults.count(Fault::Lost)), (23, 23));
        let (_, _, texts) = faults.iter().next().unwrap();
        assert_eq!(texts.len(), MOST_TEXTS + 1);
        assert_eq!(texts[..2], [(OTHERS, 13), ("reset", 3)]);
    }

    #[test]
    fn of_messages_the_first_is_told() {
        let mut faults = Faults::default();
        faults.add(Fault::WrongContent, "first");
        faults.add(Fault::WrongContent, "second");
        faults.add_many(Fault::Missing, 1);
        faults.add_many(Fault::Unsent, 0);
        let all: Vec<_> = faults.iter().collect();
        assert_eq!(all[0], (Fault::Missing, 1, vec![]));
        assert_eq!(all[1], (Fault::WrongContent, 2, vec![("first", 1)]));
        assert_eq!(all.len(), 2);
    }
}
