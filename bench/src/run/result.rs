//! What was measured, and the statistics of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cell::{Cell, Load};
use crate::failure::Failure;
use crate::machine::Machine;
use crate::peer::{OURS, Peer};

/// One line of the load generator.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Sample {
    count: f64,
    seconds: f64,
    server_cpu: f64,
    server_user_cpu: f64,
    load_cpu: f64,
    #[serde(default)]
    echo_len: Option<f64>,
    server_memory: Option<f64>,
    #[serde(default)]
    opening_cpu: Option<f64>,
    #[serde(default)]
    latency: Option<Latency>,
}

/// Parts of all echoes took at most so many microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

impl Sample {
    /// What the cell is about: microseconds of server per message or connection, or bytes.
    fn figure(&self, load: Load) -> f64 {
        match load {
            Load::Idle { .. } => self.server_memory.unwrap_or_default() / self.count,
            _ => self.server_cpu / self.count * 1e6,
        }
    }

    /// The figure, for a person.
    pub(crate) fn text(&self, load: Load) -> String {
        match load {
            Load::Idle { .. } => format!("{:.0} B", self.figure(load)),
            _ => match self.latency {
                Some(Latency { p50, p99, .. }) => {
                    format!("{:.2} us ({p50:.0}, {p99:.0})", self.figure(load))
                }
                None => format!("{:.2} us", self.figure(load)),
            },
        }
    }

    /// Whether there is anything in it to divide by.
    pub(crate) fn is_sound(&self) -> bool {
        self.count > 0.0 && self.seconds > 0.0 && self.server_cpu > 0.0
    }
}

#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// The load of the machine at the end.
    pub(crate) load_after: String,
    pub(crate) cells: Vec<Cell>,
    pub(crate) peers: Vec<&'static Peer>,
    /// What exactly each peer was, by its name.
    pub(crate) versions: BTreeMap<&'static str, String>,
    /// By cell and peer, one for each round; `None`: it failed.
    pub(crate) samples: BTreeMap<(&'static str, &'static str), Vec<Option<Sample>>>,
    pub(crate) failed: usize,
}

/// One peer in one cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    /// The median.
    pub(crate) figure: f64,
    /// Half the distance of the quartiles, as a part of the median.
    pub(crate) spread: f64,
    /// How many times as much as ours it is: the median over rounds.
    pub(crate) ratio: f64,
    /// Messages or connections a second.
    pub(crate) rate: f64,
    /// The payload of an echo as a part of the message's, where there are messages.
    pub(crate) echo: Option<f64>,
    /// Server CPU for each connection that was opened to be idle, in microseconds.
    pub(crate) opening: Option<f64>,
    /// The medians of all rounds.
    pub(crate) latency: Option<Latency>,
    /// Parts of their cores that server and load generator were busy.
    pub(crate) server_busy: f64,
    pub(crate) load_busy: f64,
}

impl Results {
    /// `None` if the peer does not do that, or always failed.
    pub(crate) fn summary(&self, cell: &Cell, peer: &Peer) -> Option<Summary> {
        let rounds = self.samples.get(&(cell.name, peer.name))?;
        let of = |measure: &dyn Fn(&Sample) -> f64| sorted(rounds.iter().flatten().map(measure));
        let figures = of(&|sample| sample.figure(cell.load));
        let figure = quantile(&figures, 0.5)?;
        let median = |measure: &dyn Fn(&Sample) -> f64| quantile(&of(measure), 0.5);
        Some(Summary {
            figure,
            spread: (quantile(&figures, 0.75)? - quantile(&figures, 0.25)?) / 2.0 / figure,
            ratio: self.ratio(cell, peer, OURS).unwrap_or(f64::NAN),
            rate: median(&|sample| sample.count / sample.seconds)?,
            echo: cell.size().and_then(|size| {
                let lens = rounds.iter().flatten().filter_map(|sample| sample.echo_len);
                Some(quantile(&sorted(lens), 0.5)? / size as f64)
            }),
            opening: {
                let each = rounds.iter().flatten().filter_map(|it| it.opening_cpu);
                quantile(&sorted(each), 0.5).map(|cpu| cpu * 1e6)
            },
            latency: latency(rounds),
            server_busy: median(&|sample| sample.server_cpu / sample.seconds)?,
            load_busy: median(&|sample| sample.load_cpu / sample.seconds)?,
        })
    }

    /// How many times as much as `base` a peer needs: the median over rounds.
    pub(crate) fn ratio(&self, cell: &Cell, peer: &Peer, base: &'static str) -> Option<f64> {
        let rounds = self.samples.get(&(cell.name, peer.name))?;
        let bases = self.samples.get(&(cell.name, base))?;
        let ratios = rounds.iter().zip(bases).filter_map(|(theirs, base)| {
            Some(theirs.as_ref()?.figure(cell.load) / base.as_ref()?.figure(cell.load))
        });
        quantile(&sorted(ratios), 0.5)
    }

    /// How many times as much as in `base` a peer needs in `cell`: the median over rounds.
    pub(crate) fn growth(&self, base: &Cell, cell: &Cell, peer: &Peer) -> Option<f64> {
        let rounds = self.samples.get(&(cell.name, peer.name))?;
        let before = self.samples.get(&(base.name, peer.name))?;
        let ratios = rounds.iter().zip(before).filter_map(|(after, before)| {
            Some(after.as_ref()?.figure(cell.load) / before.as_ref()?.figure(base.load))
        });
        quantile(&sorted(ratios), 0.5)
    }

    /// Everything, for other programs.
    pub(crate) fn json(&self) -> Result<String, Failure> {
        let samples: Vec<_> = self
            .samples
            .iter()
            .map(|((cell, peer), rounds)| {
                serde_json::json!({ "cell": cell, "peer": peer, "rounds": rounds })
            })
            .collect();
        let all = serde_json::json!({
            "machine": self.machine,
            "load_after": self.load_after,
            "versions": self.versions,
            "samples": samples,
        });
        serde_json::to_string_pretty(&all)
            .map_err(|error| Failure::new(format!("write the results: {error}")))
    }
}

fn latency(rounds: &[Option<Sample>]) -> Option<Latency> {
    let median = |part: fn(&Latency) -> f64| {
        let each = rounds.iter().flatten().filter_map(|it| it.latency.as_ref());
        quantile(&sorted(each.map(part)), 0.5)
    };
    Some(Latency {
        p50: median(|it| it.p50)?,
        p90: median(|it| it.p90)?,
        p99: median(|it| it.p99)?,
        p999: median(|it| it.p999)?,
    })
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of sorted values, between neighbours in proportion.
fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let place = part * (sorted.len().checked_sub(1)? as f64);
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[3.0], 0.25), Some(3.0));
        assert_eq!(quantile(&[1.0, 2.0, 4.0, 8.0], 0.5), Some(3.0));
        assert_eq!(quantile(&[1.0, 2.0, 4.0, 8.0, 9.0], 0.25), Some(2.0));
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let cells = crate::cell::chosen(&["plain-20-c1-p1".to_owned()], false).unwrap();
        let peers = crate::peer::chosen(&["raw".to_owned()]).unwrap();
        let sample = |micros: f64| {
            Some(Sample {
                count: 1e6,
                seconds: 2.0,
                server_cpu: micros,
                ..Sample::default()
            })
        };
        let mut samples = BTreeMap::new();
        // The machine was twice as slow in the second round, and ours failed in the third.
        samples.insert(
            (cells[0].name, OURS),
            vec![sample(10.0), sample(20.0), None],
        );
        samples.insert(
            (cells[0].name, "raw"),
            vec![sample(9.0), sample(18.0), sample(1.0)],
        );
        let results = Results {
            machine: Machine::look(),
            load_after: String::new(),
            cells,
            peers,
            versions: BTreeMap::new(),
            samples,
            failed: 1,
        };
        let summary = results
            .summary(&results.cells[0], results.peers[1])
            .unwrap();
        assert!((summary.ratio - 0.9).abs() < 1e-9);
        assert!((summary.figure - 9.0).abs() < 1e-9);
        assert!((summary.rate - 500_000.0).abs() < 1e-9);
    }
}
