//! `docs/limits.md` names every limit, with the default that it has.

use std::collections::BTreeMap;

use sockeye_proto::Limits;

const PAGE: &str = include_str!("../../../docs/limits.md");

/// As `Debug` writes it: numbers plain, durations with their unit.
fn as_debug(told: &str) -> String {
    match told.split_once(' ') {
        None if told == "none" => "None".to_owned(),
        None => told.to_owned(),
        Some((number, unit @ ("s" | "ms"))) => format!("{number}{unit}"),
        Some((number, unit)) => {
            let number: u64 = number.parse().unwrap_or_default();
            let unit = match unit {
                "KiB" => 1 << 10,
                "MiB" => 1 << 20,
                "GiB" => 1 << 30,
                _ => 0,
            };
            (number * unit).to_string()
        }
    }
}

#[test]
fn every_limit_and_its_default_are_told() {
    let debug = format!("{:?}", Limits::default());
    let fields = debug
        .strip_prefix("Limits { ")
        .and_then(|fields| fields.strip_suffix(" }"))
        .unwrap();
    let real: BTreeMap<String, String> = fields
        .split(", ")
        .map(|field| field.split_once(": ").unwrap())
        .map(|(name, value)| {
            let value = value.strip_prefix("Some(").unwrap_or(value);
            (name.to_owned(), value.trim_end_matches(')').to_owned())
        })
        .collect();
    let told: BTreeMap<String, String> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| row.split_once("` | ").unwrap())
        .map(|(name, rest)| {
            let (default, beyond) = rest.split_once(" | ").unwrap();
            assert!(beyond.len() > 10, "{name}: what happens beyond it");
            (name.to_owned(), as_debug(default))
        })
        .collect();
    assert_eq!(told, real);
}
