//! Every kernel has its op, its parity test and its benchmark.

use super::{Finding, Tree};

const KERNELS: &str = "shaders/wgsl/";
const OPS: &str = "shaders/src/ops/";

/// `wgsl/<op>*.wgsl` belongs to `src/ops/<op>.rs`, which `tests/parity/` and a benchmark call. What lies in
/// `wgsl/shared/` is no kernel but a part of some.
pub(super) fn complete(tree: &Tree) -> Vec<Finding> {
    let ops: Vec<&str> = tree
        .under(OPS, ".rs")
        .map(|(path, _)| path[OPS.len()..].trim_end_matches(".rs"))
        .filter(|stem| !stem.contains('/') && *stem != "mod")
        .collect();
    let mut findings = Vec::new();
    for (path, _) in tree.under(KERNELS, ".wgsl") {
        let stem = path[KERNELS.len()..].trim_end_matches(".wgsl");
        if stem.starts_with("shared/") {
            continue;
        }
        let mut say = |what: String| findings.push(Finding { path: path.to_owned(), line: 0, what });
        let Some(op) = ops.iter().filter(|op| belongs(stem, op)).max_by_key(|op| op.len()) else {
            say(format!("no op in {OPS} has this name or its start"));
            continue;
        };
        for (what, place) in [("parity test", "shaders/tests/parity/"), ("benchmark", "shaders/benches/")] {
            if !tree.under(place, ".rs").any(|(_, text)| text.contains(op)) {
                say(format!("its op {op} has no {what} in {place}"));
            }
        }
    }
    findings
}

fn belongs(stem: &str, op: &str) -> bool {
    stem.strip_prefix(op).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

#[cfg(test)]
mod tests {
    use super::super::places;
    use super::*;

    #[test]
    fn a_kernel_alone_is_found() {
        let tree = Tree::of(&[
            ("shaders/wgsl/shared/math.wgsl", ""),
            ("shaders/wgsl/norm.wgsl", ""),
            ("shaders/wgsl/norm_dx.wgsl", ""),
            ("shaders/wgsl/normal.wgsl", ""),
            ("shaders/wgsl/untested.wgsl", ""),
            ("shaders/src/ops/mod.rs", ""),
            ("shaders/src/ops/norm.rs", ""),
            ("shaders/src/ops/untested.rs", ""),
            ("shaders/tests/parity/main.rs", "norm()"),
            ("shaders/benches/ops.rs", "norm() untested()"),
        ]);
        let findings = complete(&tree);
        assert_eq!(places(&findings), ["shaders/wgsl/normal.wgsl:0", "shaders/wgsl/untested.wgsl:0"]);
        assert!(findings[1].what.contains("no parity test"), "{}", findings[1].what);
    }
}
