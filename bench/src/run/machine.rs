//! What the machine is, for whoever reads the figures.

use std::fs;
use std::thread;

#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// By which TCP decides how much it sends when.
    pub(crate) congestion_control: String,
    /// Running and waiting processes over the last minute, before the first measurement.
    pub(crate) load: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let line = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let info = line("/proc/cpuinfo");
        let model = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            processor: model.map_or("unknown", |(_, name)| name).trim().to_owned(),
            cores: thread::available_parallelism().map_or(0, usize::from),
            kernel: line("/proc/sys/kernel/osrelease").trim().to_owned(),
            congestion_control: line("/proc/sys/net/ipv4/tcp_congestion_control")
                .trim()
                .to_owned(),
            load: load(),
        }
    }
}

/// The load of the last minute.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}
