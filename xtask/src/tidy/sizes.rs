//! Short files and short functions.

use super::code::{closing, line_of, shipped, whole_word};
use super::{Finding, Tree};

/// Most lines of code in a file, without tests, comments and empty lines.
const FILE_MAX: usize = 500;
/// Most lines of code in a function, from its name to its closing brace.
const FUNCTION_MAX: usize = 70;

/// Files and functions that fit in a head.
pub(super) fn short(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.under("", ".rs") {
        let code = shipped(text);
        let lines = code_lines(&code);
        if lines > FILE_MAX {
            let what = format!("{lines} lines of code; a file has at most {FILE_MAX}");
            findings.push(Finding { path: path.to_owned(), line: 0, what });
        }
        for (line, name, lines) in functions(&code) {
            if lines > FUNCTION_MAX {
                let what = format!("{name} has {lines} lines of code; a function has at most {FUNCTION_MAX}");
                findings.push(Finding { path: path.to_owned(), line, what });
            }
        }
    }
    findings
}

fn code_lines(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

/// Line, name and lines of code of each function with a body.
fn functions(code: &str) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ").filter(|(at, _)| whole_word(code, *at, "fn")) {
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let rest = &code[at..];
        // A pointer's type has no name, and a trait's method may have no body; `[f32; 3]` in a signature is no end.
        let Some(body) = rest.find('{').filter(|&brace| !ends_before(&rest[..brace])) else { continue };
        if !name.is_empty() {
            found.push((line_of(code, at), name, code_lines(&rest[..body + closing(&rest[body..])])));
        }
    }
    found
}

/// Whether a semicolon outside brackets ends the declaration.
fn ends_before(signature: &str) -> bool {
    let mut depth = 0;
    for c in signature.chars() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ';' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::places;
    use super::*;

    #[test]
    fn functions_are_measured_from_name_to_brace() {
        let code = "trait T {\n    fn none(&self) -> [f32; 3];\n}\nfn one(x: [f32; 3], f: fn (u8)) {\n    {\n    }\n\n}\nfn two() {}\n";
        let want = [(4, "one".to_owned(), 4), (9, "two".to_owned(), 1)];
        assert_eq!(functions(code), want);
    }

    #[test]
    fn long_ones_are_found() {
        let long = |lines: usize| format!("//! x\nfn f() {{\n{}}}\n", "    x();\n".repeat(lines));
        let tests =
            |lines: usize| format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    x();\n".repeat(lines));
        let tree = Tree::of(&[
            ("a.rs", &long(68)),
            ("b.rs", &long(69)),
            ("c.rs", &tests(600)),
            ("d.rs", &"use x;\n".repeat(501)),
            ("e.rs", &format!("{}// a comment\n\n", "use x;\n".repeat(500))),
        ]);
        assert_eq!(places(&short(&tree)), ["b.rs:2", "d.rs:0"]);
    }
}
