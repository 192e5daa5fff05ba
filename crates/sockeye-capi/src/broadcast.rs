//! Broadcasts: every server connection of a protocol is told, here or in the process that serves.

use std::ffi::{c_int, c_void};

use crate::abi::LWS_CALLBACK_BROADCAST;
use crate::context::{Context, Home};
use crate::fork;
use crate::record::Side;

/// From whichever process calls: `data` are `len` bytes of the program, with its padding around
/// them.
pub(crate) fn broadcast(home: &Home, protocol: usize, data: *mut c_void, len: usize) -> c_int {
    if !home.is_ours() {
        return fork::broadcast_elsewhere(home, protocol, data, len);
    }
    let context = home.enter();
    context.broadcast_here(protocol, data, len);
    context.settle();
    0
}

impl Context {
    /// Tells every established server connection of a protocol, now. All get the same buffer, in
    /// which they may write.
    pub(crate) fn broadcast_here(&self, protocol: usize, data: *mut c_void, len: usize) {
        for record in self.all_records() {
            let is_meant = record.side == Side::Server && record.protocol.get() == Some(protocol);
            // Those before it may have ended it.
            if is_meant && record.is_established() {
                self.tell(&record, LWS_CALLBACK_BROADCAST, data, len);
            }
        }
    }

    /// Asks for room on every open connection of a protocol.
    pub(crate) fn want_room_on_all(&self, protocol: usize) {
        for record in self.all_records() {
            if record.is_established() && record.protocol.get() == Some(protocol) {
                self.want_room(&record);
            }
        }
    }
}
