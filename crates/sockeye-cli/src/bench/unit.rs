//! Numbers as people read them: three digits that tell, and a unit.

/// A whole number in groups of three digits.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with three significant digits, or all of its whole ones.
fn three(value: f64) -> String {
    match value {
        value if value < 0.005 => "0".to_owned(),
        value if value >= 999.5 => count(value.round() as u64),
        value if value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// So many of something a second.
pub(super) fn rate(value: f64) -> String {
    three(value)
}

/// A time in µs, ms or s.
pub(super) fn time(nanos: f64) -> String {
    match nanos {
        nanos if nanos < 999_500.0 => format!("{} µs", three(nanos / 1e3)),
        nanos if nanos < 999_500_000.0 => format!("{} ms", three(nanos / 1e6)),
        nanos => format!("{} s", three(nanos / 1e9)),
    }
}

/// Bytes a second.
pub(super) fn byte_rate(value: f64) -> String {
    format!("{}/s", bytes(value))
}

/// Bytes in binary units.
pub(super) fn bytes(value: f64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = value;
    let mut index = 0;
    while value >= 1023.5 && index + 1 < UNITS.len() {
        value /= 1024.0;
        index += 1;
    }
    format!(
        "{} {}",
        three(value),
        UNITS.get(index).copied().unwrap_or_default()
    )
}

/// "1 thing", "2 things".
pub(super) fn plural(number: u64, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {thing}{s}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_groups() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (nanos, text) in [
            (0.0, "0 µs"),
            (950.0, "0.95 µs"),
            (61_249.0, "61.2 µs"),
            (999_400.0, "999 µs"),
            (999_600.0, "1.00 ms"),
            (12_345_678.0, "12.3 ms"),
            (1_500_000_000.0, "1.50 s"),
            (61_000_000_000.0, "61.0 s"),
        ] {
            assert_eq!(time(nanos), text);
        }
    }

    #[test]
    fn rates_have_units() {
        assert_eq!(rate(152_431.4), "152,431");
        assert_eq!(rate(9.999), "10.0");
        assert_eq!(byte_rate(512.0), "512 B/s");
        assert_eq!(byte_rate(9.75 * 1024.0 * 1024.0), "9.75 MiB/s");
        assert_eq!(byte_rate(5.0 * 1024_f64.powi(4)), "5,120 GiB/s");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(plural(1, "connection"), "1 connection");
        assert_eq!(plural(1000, "connection"), "1,000 connections");
    }
}
