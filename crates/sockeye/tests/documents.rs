//! The project's pages: what they link to is there.

use std::path::Path;

const PAGES: [&str; 9] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs/deflate.md",
    "docs/drafts.md",
    "docs/from-libwebsockets.md",
    "docs/limits.md",
];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The targets of `[text](target)` that are files here. Images may be made later than the page.
fn links(page: &str) -> impl Iterator<Item = &str> {
    page.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?;
        let is_elsewhere = target.contains("://") || target.starts_with('#');
        (!is_elsewhere && !target.ends_with(".png")).then_some(target)
    })
}

#[test]
fn every_link_leads_somewhere() {
    for name in PAGES {
        let path = root().join(name);
        let page = std::fs::read_to_string(&path).unwrap();
        for link in links(&page) {
            let target = path.with_file_name(link);
            assert!(target.exists(), "{name}: {link}");
        }
    }
}

#[test]
fn the_architecture_fits_on_its_page() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(page.lines().count() <= 300);
}
