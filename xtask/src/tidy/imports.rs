//! Who may know whom.

use super::code::{line_of, shipped, whole_word};
use super::{Finding, Tree};

const CORE: &str = "core/src/";

/// Rooms of the core, and the rooms that each must not import.
const WALLS: [(&str, &[&str]); 5] = [
    ("diffusion", &["nn", "unet", "text", "cascade", "weights", "train", "world"]),
    ("nn", &["diffusion", "unet", "text", "cascade", "weights", "train", "world"]),
    ("unet", &["text", "cascade", "weights", "train", "world"]),
    ("world", &["nn", "unet", "diffusion", "text", "cascade", "weights", "train"]),
    ("cascade", &["train", "world"]),
];

/// Rooms that nothing else in the core imports.
const LEAVES: [&str; 2] = ["train", "dalle2"];

/// Folders of front ends, and the rooms of the core that they leave to `cascade` and `train`.
const FRONT_ENDS: [&str; 3] = ["cli/src/", "web/src/", "desktop/src/"];
const BEHIND: [&str; 4] = ["nn", "unet", "text", "weights"];

/// Names of Burn's internals.
const INTERNALS: [&str; 3] = ["KernelSource", "SourceTemplate", "burn_cubecl"];

/// The walls between the rooms of the core. Tests may look over them.
pub(super) fn rooms(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.under(CORE, ".rs") {
        let inner = &path[CORE.len()..];
        let room = inner.split(['/', '.']).next().unwrap_or_default();
        let walls = WALLS.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, walls)| walls);
        for (line, import) in imported(&shipped(text), depth(inner)) {
            if walls.contains(&import.as_str()) || (LEAVES.contains(&import.as_str()) && import != room) {
                findings.push(Finding { path: path.to_owned(), line, what: format!("{room} imports {import}") });
            }
        }
    }
    findings
}

/// A front end makes a request and gets events; what a network is made of is not its matter.
pub(super) fn front_ends(tree: &Tree) -> Vec<Finding> {
    const ROOT: &str = "firefall_core::";
    let mut findings = Vec::new();
    for (path, text) in FRONT_ENDS.iter().flat_map(|folder| tree.under(folder, ".rs")) {
        let code = shipped(text);
        for (at, _) in code.match_indices(ROOT) {
            for room in heads(&code[at + ROOT.len()..]).iter().filter(|room| BEHIND.contains(&room.as_str())) {
                let what = format!("a front end imports {room}");
                findings.push(Finding { path: path.to_owned(), line: line_of(&code, at), what });
            }
        }
    }
    findings
}

/// How many `super` lead from a file of the crate to its root.
fn depth(inner: &str) -> usize {
    let names = inner.trim_end_matches(".rs").split('/');
    names.filter(|name| !matches!(*name, "mod" | "lib" | "main")).count()
}

/// The rooms that code names by `crate::` or by enough `super::`, with their lines.
fn imported(code: &str, depth: usize) -> Vec<(usize, String)> {
    let supers = "super::".repeat(depth);
    let roots = [("crate::", true), (supers.as_str(), depth > 0)];
    let mut found = Vec::new();
    for (root, _) in roots.iter().filter(|(_, used)| *used) {
        for (at, _) in code.match_indices(root) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let line = line_of(code, at);
            found.extend(heads(&code[at + root.len()..]).into_iter().map(|name| (line, name)));
        }
    }
    found
}

/// The first name of a path, or of each path of a group: `{a::b, c}` gives `a` and `c`.
fn heads(path: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    if !path.starts_with('{') {
        return vec![name(path)];
    }
    let (mut depth, mut heads, mut start) = (0, Vec::new(), true);
    for (i, c) in path.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => start = true,
            c if c.is_whitespace() => {}
            _ if start && depth == 1 => {
                heads.push(name(&path[i..]));
                start = false;
            }
            _ => {}
        }
    }
    heads
}

/// Burn's internals are named in `shaders/src/launch.rs` alone: a new Burn changes one file.
pub(super) fn internals(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.under("", ".rs") {
        if path == "shaders/src/launch.rs" || path.starts_with("xtask/") {
            continue;
        }
        let code = shipped(text);
        let names =
            if path.starts_with("shaders/") { &INTERNALS[..] } else { &[&INTERNALS[..], &["CubeTensor"]].concat() };
        for name in names {
            for (at, _) in code.match_indices(name).filter(|(at, _)| whole_word(&code, *at, name)) {
                let what = format!("{name} outside shaders/src/launch.rs");
                findings.push(Finding { path: path.to_owned(), line: line_of(&code, at), what });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::places;
    use super::*;

    #[test]
    fn walls_hold_against_every_way_of_importing() {
        let tree = Tree::of(&[
            ("core/src/diffusion/a.rs", "use crate::nn::conv;\n// crate::unet\nuse crate::image::Picture;\n"),
            ("core/src/diffusion/b/c.rs", "use super::super::super::unet;\nuse super::super::level;\n"),
            ("core/src/diffusion/mod.rs", "fn f() { super::text::x() }\n"),
            ("core/src/nn/mod.rs", "use crate::{\n    image,\n    diffusion::{nn, Level},\n};\n"),
            ("core/src/unet/mod.rs", "use crate::nn;\nuse crate::train::X;\n"),
            ("core/src/cascade/mod.rs", "use crate::unet;\n#[cfg(test)]\nmod tests {\n    use crate::train::X;\n}\n"),
            ("core/src/train/a.rs", "use crate::train::b;\nuse crate::world::Mix;\n"),
            ("core/src/lib.rs", "pub mod train;\n"),
            ("cli/src/a.rs", "use crate::train;\n"),
        ]);
        let want = [
            "core/src/diffusion/a.rs:1",
            "core/src/diffusion/b/c.rs:1",
            "core/src/diffusion/mod.rs:1",
            "core/src/nn/mod.rs:1",
            "core/src/unet/mod.rs:2",
        ];
        assert_eq!(places(&rooms(&tree)), want);
    }

    #[test]
    fn front_ends_go_by_the_cascade() {
        let tree = Tree::of(&[
            (
                "cli/src/a.rs",
                "use firefall_core::cascade::Run;\n// firefall_core::nn\nuse firefall_core::weights::load;\n",
            ),
            ("web/src/a.rs", "use firefall_core::{\n    image,\n    unet::Unet,\n};\n"),
            ("cli/src/b.rs", "#[cfg(test)]\nmod tests {\n    use firefall_core::nn;\n}\n"),
            ("cli/tests/a.rs", "use firefall_core::weights::load;\n"),
        ]);
        assert_eq!(places(&front_ends(&tree)), ["cli/src/a.rs:3", "web/src/a.rs:1"]);
    }

    #[test]
    fn heads_of_groups() {
        assert_eq!(heads("{self, a::{b, c}, d as e}"), ["self", "a", "d"]);
        assert_eq!(heads("nn::conv"), ["nn"]);
        assert_eq!(heads("*"), [""]);
    }

    #[test]
    fn internals_are_for_launch() {
        let tree = Tree::of(&[
            ("shaders/src/launch.rs", "use x::{KernelSource, CubeTensor};"),
            ("shaders/src/ops/a.rs", "use x::CubeTensor;\nuse x::SourceTemplate;"),
            ("core/src/a.rs", "// KernelSource\nuse x::CubeTensor;"),
        ]);
        assert_eq!(places(&internals(&tree)), ["core/src/a.rs:2", "shaders/src/ops/a.rs:2"]);
    }
}
