//! What the core must not do: it runs in a browser, and its pictures depend on their seeds alone.

use super::code::{line_of, shipped, whole_word};
use super::{Finding, Tree};

/// Every place in `core/src` whose code has one of `names` as a whole word, except in files for which `allowed` holds.
fn named(tree: &Tree, names: &[&str], allowed: fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.under("core/src/", ".rs").filter(|(path, _)| !allowed(path)) {
        let code = shipped(text);
        for name in names {
            for (at, _) in code.match_indices(name).filter(|(at, _)| whole_word(&code, *at, name)) {
                let what = format!("`{}`", name.trim());
                findings.push(Finding { path: path.to_owned(), line: line_of(&code, at), what });
            }
        }
    }
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings
}

/// Files compiled for tests only.
fn is_test(path: &str) -> bool {
    ["/tests.rs", "/testing.rs"].iter().any(|end| path.ends_with(end)) || path.contains("/tests/")
}

/// A front end decides what is shown.
pub(super) fn prints(tree: &Tree) -> Vec<Finding> {
    named(tree, &["println!", "print!", "eprintln!", "eprint!", "dbg!"], is_test)
}

/// `std`'s clocks panic in a browser.
pub(super) fn clocks(tree: &Tree) -> Vec<Finding> {
    named(tree, &["std::time", "Instant", "SystemTime"], is_test)
}

/// There are no files in a browser.
pub(super) fn opens_files(tree: &Tree) -> Vec<Finding> {
    let allowed =
        |path: &str| is_test(path) || ["core/src/weights", "core/src/train"].iter().any(|room| path.starts_with(room));
    named(tree, &["std::fs", "fs::File", "File::open", "File::create"], allowed)
}

/// A browser cannot wait for its GPU: only the asynchronous read-back works there.
pub(super) fn blocks(tree: &Tree) -> Vec<Finding> {
    named(tree, &["into_data()", "to_data()", "into_scalar()", "block_on"], is_test)
}

/// A picture is its seed: no generator but that of `noise.rs`.
pub(super) fn randomness(tree: &Tree) -> Vec<Finding> {
    let allowed = |path: &str| is_test(path) || path == "core/src/noise.rs";
    named(tree, &["rand_chacha", "rand", "getrandom", "Tensor::random", "Distribution", "thread_rng"], allowed)
}

#[cfg(test)]
mod tests {
    use super::super::places;
    use super::*;

    #[track_caller]
    fn finds(rule: fn(&Tree) -> Vec<Finding>, bad: &str, good: &str) {
        let tree = Tree::of(&[
            ("core/src/a.rs", &format!("//! x\nfn f() {{ {bad} }}\n")),
            (
                "core/src/b.rs",
                &format!("// {bad}\nfn f() {{ {good} }}\n#[cfg(test)]\nmod tests {{ fn g() {{ {bad} }} }}\n"),
            ),
            ("core/src/c/tests.rs", bad),
            ("cli/src/a.rs", bad),
        ]);
        assert_eq!(places(&rule(&tree)), ["core/src/a.rs:2"]);
    }

    #[test]
    fn printing_is_found() {
        finds(prints, "println!(\"x\")", "write!(f, \"println!\")");
        finds(prints, "dbg!(x)", "my_dbg!(x)");
    }

    #[test]
    fn clocks_are_found() {
        finds(clocks, "Instant::now()", "Instantly::now()");
    }

    #[test]
    fn files_are_found_outside_their_rooms() {
        finds(opens_files, "std::fs::read(p)", "text.lines()");
        let tree = Tree::of(&[("core/src/weights/a.rs", "use std::fs;"), ("core/src/train/mod.rs", "use std::fs;")]);
        assert!(opens_files(&tree).is_empty());
    }

    #[test]
    fn blocking_is_found() {
        finds(blocks, "x.into_data();", "x.into_data_async().await");
    }

    #[test]
    fn other_generators_are_found() {
        finds(randomness, "Tensor::random(shape, d, device)", "stream.normals(3)");
        assert!(randomness(&Tree::of(&[("core/src/noise.rs", "use rand_chacha::ChaCha8Rng;")])).is_empty());
    }
}
