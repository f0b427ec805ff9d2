//! Checks that the README has the compiled example.

#[test]
fn the_readme_has_the_example() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(root).unwrap();
    let example = include_str!("../../examples/counter.rs");
    assert!(readme.contains(example), "README.md has another example");
    assert!(example.lines().count() < 30, "it is too long");
}
