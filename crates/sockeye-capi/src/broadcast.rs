//! Broadcasts: every server connection of a protocol is told, here or in the process that serves.
//!
//! What comes from another process says first which protocol is meant, in as many bytes as a `u32`
//! has, since all protocols of a context share a channel.

#![allow(unsafe_code, reason = "buffers of the program")]

use std::ffi::{c_int, c_void};
use std::slice;

use crate::abi::LWS_CALLBACK_BROADCAST;
use crate::context::{Context, Home};
use crate::memory::Padded;
use crate::record::Side;

/// The longest broadcast from another process, in bytes.
const PAYLOAD_LEN: usize = 16 * 1024 * 1024;
const PREFIX_LEN: usize = size_of::<u32>();
/// The longest message between processes.
pub(crate) const MESSAGE_LEN: usize = PREFIX_LEN + PAYLOAD_LEN;

/// From whichever process calls: `data` are `len` bytes of the program, with its padding around
/// them.
pub(crate) fn broadcast(home: &Home, protocol: usize, data: *mut c_void, len: usize) -> c_int {
    if !home.is_ours() {
        return broadcast_elsewhere(home, protocol, data, len);
    }
    let context = home.enter();
    context.broadcast_here(protocol, data, len);
    context.settle();
    0
}

/// From a process that does not serve. If it has copies of the sockets, it must not write to them:
/// two processes' frames would get mixed up. Waits while the channel is full. Returns the length, as
/// the program knows it from 2011, or -1.
fn broadcast_elsewhere(home: &Home, protocol: usize, data: *mut c_void, len: usize) -> c_int {
    let (Some(sender), Ok(protocol)) = (home.sender(), u32::try_from(protocol)) else {
        return -1;
    };
    if len > PAYLOAD_LEN {
        return -1;
    }
    let mut message = Vec::with_capacity(PREFIX_LEN + len);
    message.extend(protocol.to_ne_bytes());
    if len > 0 {
        // SAFETY: the program's buffer of `len` bytes, which is borrowed for the copy only.
        message.extend(unsafe { slice::from_raw_parts(data.cast::<u8>(), len) });
    }
    match sender.send(&message) {
        Ok(()) => c_int::try_from(len).unwrap_or(c_int::MAX),
        Err(_) => -1,
    }
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

    /// Does the same with what another process sent.
    pub(crate) fn broadcast_of_another_process(&self, message: &[u8]) {
        let Some((protocol, data)) = message.split_first_chunk::<PREFIX_LEN>() else {
            return;
        };
        let Ok(protocol) = usize::try_from(u32::from_ne_bytes(*protocol)) else {
            return;
        };
        // Without memory for it nobody is told; the program has nothing to be told of that by.
        if let Some(mut buffer) = Padded::new(data.len()) {
            self.broadcast_here(protocol, buffer.fill(data), data.len());
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
