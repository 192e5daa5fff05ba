//! Topics: named sets of connections that a message is published to.
//!
//! Knows ids and positions only, and whom to tell which topics there are. A topic exists while it has a member. Leaving is constant in the
//! number of members: each membership remembers its position in the topic's list.

use std::collections::HashMap;
use std::sync::Arc;

use crate::group::presence::Presence;
use crate::id::ConnId;

/// One connection's place in one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    topic: u32,
    position: u32,
}

#[derive(Debug)]
struct Topic {
    name: Box<str>,
    members: Vec<ConnId>,
}

#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: HashMap<Box<str>, u32>,
    topics: Vec<Option<Topic>>,
    vacant: Vec<u32>,
    /// For the other engines of a group.
    presence: Option<Arc<Presence>>,
}

impl Topics {
    pub(crate) fn new(presence: Option<Arc<Presence>>) -> Self {
        Self {
            presence,
            ..Self::default()
        }
    }

    /// The index of `name`, good as long as nobody joins or leaves.
    pub(crate) fn index(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The members of a topic, in no particular order.
    pub(crate) fn members(&self, index: u32) -> &[ConnId] {
        match self.topics.get(index as usize) {
            Some(Some(topic)) => &topic.members,
            _ => &[],
        }
    }

    /// Adds `id`, which holds `memberships` so far. Returns whether it was not a member before.
    pub(crate) fn subscribe(
        &mut self,
        name: &str,
        id: ConnId,
        memberships: &mut Vec<Membership>,
    ) -> bool {
        let index = match self.by_name.get(name) {
            Some(&index) => index,
            None => self.create(name),
        };
        if memberships.iter().any(|m| m.topic == index) {
            return false;
        }
        let Some(topic) = self.topics[index as usize].as_mut() else {
            return false;
        };
        memberships.push(Membership {
            topic: index,
            position: topic.members.len() as u32,
        });
        topic.members.push(id);
        true
    }

    /// The membership in `name` among `memberships`.
    pub(crate) fn find(&self, name: &str, memberships: &[Membership]) -> Option<Membership> {
        let index = *self.by_name.get(name)?;
        memberships.iter().copied().find(|m| m.topic == index)
    }

    /// Ends a membership. Returns who moved into the place, to be told by [`moved`].
    pub(crate) fn leave(&mut self, membership: Membership) -> Option<ConnId> {
        let topic = self.topics[membership.topic as usize].as_mut()?;
        topic.members.swap_remove(membership.position as usize);
        let moved = topic.members.get(membership.position as usize).copied();
        if topic.members.is_empty() {
            self.by_name.remove(&topic.name);
            if let Some(presence) = &self.presence {
                presence.leave(&topic.name);
            }
            self.topics[membership.topic as usize] = None;
            self.vacant.push(membership.topic);
        }
        moved
    }

    fn create(&mut self, name: &str) -> u32 {
        let topic = Some(Topic {
            name: name.into(),
            members: Vec::new(),
        });
        let index = match self.vacant.pop() {
            Some(index) => {
                self.topics[index as usize] = topic;
                index
            }
            None => {
                self.topics.push(topic);
                (self.topics.len() - 1) as u32
            }
        };
        self.by_name.insert(name.into(), index);
        if let Some(presence) = &self.presence {
            presence.enter(name);
        }
        index
    }
}

/// Notes in the memberships of the one who moved that it now stands where `left` stood.
pub(crate) fn moved(memberships: &mut [Membership], left: Membership) {
    if let Some(membership) = memberships.iter_mut().find(|m| m.topic == left.topic) {
        membership.position = left.position;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership_survives_others_leaving() {
        let mut topics = Topics::default();
        let ids: Vec<ConnId> = (0..4).map(|i| ConnId::new(i, 1)).collect();
        let mut held = vec![Vec::new(); 4];
        for (id, memberships) in ids.iter().zip(&mut held) {
            assert!(topics.subscribe("a", *id, memberships));
            assert!(topics.subscribe("b", *id, memberships));
            assert!(!topics.subscribe("a", *id, memberships), "twice is once");
        }
        for leaver in [1, 3, 0] {
            let membership = topics.find("a", &held[leaver]).unwrap();
            held[leaver].retain(|m| *m != membership);
            if let Some(id) = topics.leave(membership) {
                moved(&mut held[id.index() as usize], membership);
            }
        }
        let members = |topics: &Topics, name| match topics.index(name) {
            Some(index) => topics.members(index).to_vec(),
            None => Vec::new(),
        };
        assert_eq!(members(&topics, "a"), [ids[2]]);
        assert_eq!(members(&topics, "b"), ids);
        let last = topics.find("a", &held[2]).unwrap();
        assert_eq!(topics.leave(last), None);
        assert_eq!(members(&topics, "a"), []);
        assert_eq!(topics.find("a", &held[2]), None, "an empty topic is gone");
    }
}
