//! The document itself: what it links to is there, and every test that it names is one of these.

const DOCUMENT: &str = include_str!("../../../../docs/from-libwebsockets.md");
const TESTS: [&str; 5] = [
    include_str!("client.rs"),
    include_str!("filter.rs"),
    include_str!("message.rs"),
    include_str!("service.rs"),
    include_str!("write.rs"),
];

/// Rows of the tables, without their heads.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| 2011 "))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
}

#[test]
fn each_row_names_a_test() {
    let mut named = Vec::new();
    for row in rows() {
        let test = row.last().unwrap().trim_matches('`');
        let line = format!("\nfn {test}() {{");
        assert!(TESTS.iter().any(|file| file.contains(&line)), "{test}");
        named.push(test);
    }
    assert!(named.len() >= 15, "the rows of the table");
    let tests: usize = TESTS
        .iter()
        .map(|file| file.matches("#[test]").count())
        .sum();
    named.sort_unstable();
    named.dedup();
    assert_eq!(named.len(), tests, "each test shows a row");
}

#[test]
fn each_link_leads_to_what_it_says() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/");
    let mut count = 0;
    for link in DOCUMENT.split("[`").skip(1) {
        let Some((name, rest)) = link.split_once("`](") else {
            continue;
        };
        let (path, _) = rest.split_once(')').unwrap();
        let source = std::fs::read_to_string(format!("{docs}{path}"));
        let source = source.unwrap_or_else(|error| panic!("{path}: {error}"));
        let item = name.rsplit("::").next().unwrap();
        let found = ["fn ", "struct ", "enum ", "trait ", "type ", "pub "]
            .iter()
            .any(|word| source.contains(&format!("{word}{item}")));
        assert!(found, "{name} is not in {path}");
        count += 1;
    }
    assert!(count >= 30, "{count}");
}
