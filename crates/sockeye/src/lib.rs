//! WebSocket and HTTP engine: server and client on one event loop, yours or ours.
