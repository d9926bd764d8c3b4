//! What stands at the head of a file, and beside it.

use super::{Finding, Tree};

/// Largest golden, bytes.
const GOLDEN_MAX: u64 = 64 << 10;

/// Every Rust file starts by saying what it is.
pub(super) fn headers(tree: &Tree) -> Vec<Finding> {
    let silent = |(_, text): &(&str, &str)| !text.starts_with("//! ");
    let finding = |(path, _): (&str, &str)| Finding { path: path.to_owned(), line: 1, what: "no `//!`".to_owned() };
    tree.under("", ".rs").filter(silent).map(finding).collect()
}

/// Every public `forward` of the core says what shapes it takes and gives.
pub(super) fn shapes(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.under("core/src/", ".rs") {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (i, line) in lines.iter().enumerate() {
            if !(line.starts_with("pub fn forward(") || line.starts_with("pub async fn forward(")) {
                continue;
            }
            let above = lines[..i].iter().rev().take_while(|line| line.starts_with("///") || line.starts_with("#["));
            if !above.into_iter().any(|line| line.contains("# Shapes")) {
                findings.push(Finding { path: path.to_owned(), line: i + 1, what: "no `# Shapes`".to_owned() });
            }
        }
    }
    findings
}

/// A golden is at most 64 KiB and the README beside it names it, on a line that names a script which is there.
pub(super) fn goldens(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _) in tree.under("", ".safetensors").filter(|(path, _)| path.contains("/golden/")) {
        let mut say = |what: String| findings.push(Finding { path: path.to_owned(), line: 0, what });
        let bytes = tree.0[path].bytes;
        if bytes > GOLDEN_MAX {
            say(format!("{bytes} bytes; a golden has at most {GOLDEN_MAX}"));
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let stem = name.trim_end_matches(".safetensors");
        let readme = tree.text(&format!("{folder}/README.md")).unwrap_or_default();
        // `_cosine` is short for the name before it with another end.
        let names = |token: &str| token == stem || (token.starts_with('_') && stem.ends_with(token));
        let there = |token: &str| token.ends_with(".py") && tree.0.contains_key(&format!("{folder}/{token}"));
        let told = readme.lines().map(|line| line.split('`').skip(1).step_by(2)).any(|tokens| {
            let tokens: Vec<&str> = tokens.collect();
            tokens.iter().any(|t| names(t)) && tokens.iter().any(|t| there(t))
        });
        if !told {
            say(format!("{folder}/README.md names no script that makes it"));
        }
    }
    findings
}

/// Every asset is in `assets/README.md`, by its path there: with its origin and licence, which a reader must check.
pub(super) fn assets(tree: &Tree) -> Vec<Finding> {
    let readme = tree.text("assets/README.md").unwrap_or_default();
    let listed: Vec<&str> = readme.split('`').skip(1).step_by(2).collect();
    let paths = tree.0.keys().filter_map(|path| Some((path, path.strip_prefix("assets/")?)));
    let missing = paths.filter(|(_, inner)| *inner != "README.md" && !listed.contains(inner));
    let finding = |path: &String| Finding { path: path.clone(), line: 0, what: "not in assets/README.md".to_owned() };
    missing.map(|(path, _)| finding(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::places;
    use super::*;

    #[test]
    fn a_file_without_a_header_is_found() {
        let tree = Tree::of(&[("a.rs", "//! A.\n"), ("b.rs", "use x;\n//! B.\n"), ("c.rs", ""), ("d.py", "")]);
        assert_eq!(places(&headers(&tree)), ["b.rs:1", "c.rs:1"]);
    }

    #[test]
    fn a_forward_without_shapes_is_found() {
        let good = "    /// X.\n    ///\n    /// # Shapes\n    /// - x: `[b]`\n    #[must_use]\n    pub fn forward(&self) {}\n";
        let bad =
            "    /// # Shapes\n    fn a() {}\n\n    /// X.\n    pub fn forward(&self) {}\n    fn forward_all() {}\n";
        let tree = Tree::of(&[("core/src/a.rs", good), ("core/src/b.rs", bad)]);
        assert_eq!(places(&shapes(&tree)), ["core/src/b.rs:5"]);
    }

    #[test]
    fn a_golden_too_large_or_without_script_is_found() {
        let large = "x".repeat(65 << 10);
        let tree = Tree::of(&[
            ("t/golden/README.md", "| `a_x`, `_y` | `make.py` |\n| `b` | `gone.py` |\n| `c` |\n"),
            ("t/golden/make.py", ""),
            ("t/golden/a_x.safetensors", &large),
            ("t/golden/a_y.safetensors", ""),
            ("t/golden/b.safetensors", ""),
            ("t/golden/c.safetensors", ""),
            ("t/golden/d.safetensors", ""),
        ]);
        let found: Vec<String> = goldens(&tree).iter().map(|f| f.path[9..10].to_owned()).collect();
        assert_eq!(found, ["a", "b", "c", "d"]);
    }

    #[test]
    fn an_unlisted_asset_is_found() {
        let tree = Tree::of(&[
            ("assets/README.md", "| `world/a.json` | ours |"),
            ("assets/world/a.json", ""),
            ("assets/world/b.json", ""),
        ]);
        assert_eq!(places(&assets(&tree)), ["assets/world/b.json:0"]);
    }
}
