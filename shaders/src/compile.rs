//! The WGSL preprocessor and reflection. `build.rs` includes this file, so a bad shader fails `cargo build` with an
//! excerpt of the source and no binding is ever typed a second time in Rust.

use std::fmt::Write as _;
use std::path::Path;

/// Bytes of workgroup memory that every browser has (`maxComputeWorkgroupStorageSize`).
const MOST_WORKGROUP_MEMORY: u32 = 16_384;

/// One kernel as `build.rs` emits it: the expanded text and what naga read out of it.
pub(crate) struct Compiled {
    /// The stem of the file, which is also the name of the Rust constant.
    pub(crate) name: String,
    /// The text with every `#import` in place.
    pub(crate) source: String,
    /// Threads in a workgroup.
    pub(crate) workgroup_size: [u32; 3],
    /// Bytes of the variables that a workgroup shares.
    pub(crate) workgroup_memory: u32,
    /// Names of the storage bindings in order of `@binding`.
    pub(crate) bindings: Vec<String>,
}

/// Replaces each `#import name` line by `shared/name.wgsl`.
fn expand(dir: &Path, text: &str) -> Result<String, String> {
    let mut out = String::new();
    for line in text.lines() {
        match line.strip_prefix("#import ") {
            Some(name) => {
                let path = dir.join("shared").join(format!("{}.wgsl", name.trim()));
                let shared = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                out.push_str(&shared);
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    Ok(out)
}

/// Bytes of the variables that a workgroup shares, as WebGPU counts them: each rounded up to 16.
fn workgroup_memory(module: &naga::Module) -> Result<u32, String> {
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|e| e.to_string())?;
    let variables = module.global_variables.iter().map(|(_, v)| v);
    let shared = variables.filter(|v| v.space == naga::AddressSpace::WorkGroup);
    Ok(shared.map(|v| layouter[v.ty].size.next_multiple_of(16)).sum())
}

/// Reads, expands, validates and reflects one shader.
pub(crate) fn compile(dir: &Path, file: &Path) -> Result<Compiled, String> {
    let name = file.file_stem().and_then(|s| s.to_str()).ok_or("a shader needs a UTF-8 name")?.to_string();
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let source = expand(dir, &text)?;
    // Burn fills `{{placeholders}}` in a kernel's text; ours have none, so that what naga saw is what runs.
    if source.contains("{{") {
        return Err(format!("{name}.wgsl: placeholders are not used here"));
    }
    let module = naga::front::wgsl::parse_str(&source).map_err(|e| e.emit_to_string(&source))?;
    naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty())
        .validate(&module)
        .map_err(|e| e.emit_to_string(&source))?;
    let entry = match module.entry_points.as_slice() {
        [entry] if entry.name == "main" => entry,
        _ => return Err(format!("{name}.wgsl: exactly one entry point called main")),
    };
    let workgroup_memory = workgroup_memory(&module).map_err(|e| format!("{name}.wgsl: {e}"))?;
    if workgroup_memory > MOST_WORKGROUP_MEMORY {
        return Err(format!(
            "{name}.wgsl: {workgroup_memory} bytes of workgroup memory, of which browsers have {MOST_WORKGROUP_MEMORY}"
        ));
    }
    let mut bindings: Vec<(u32, String)> = module
        .global_variables
        .iter()
        .filter_map(|(_, v)| Some((v.binding.as_ref()?.binding, v.name.clone()?)))
        .collect();
    bindings.sort();
    if bindings.iter().enumerate().any(|(i, (b, _))| i as u32 != *b) {
        return Err(format!("{name}.wgsl: bindings must be 0, 1, 2 … in @group(0)"));
    }
    let bindings = bindings.into_iter().map(|(_, name)| name).collect();
    Ok(Compiled { name, source, workgroup_size: entry.workgroup_size, workgroup_memory, bindings })
}

/// The Rust text of one constant a kernel.
pub(crate) fn emit(kernels: &[Compiled]) -> String {
    let mut out = String::new();
    for k in kernels {
        let _ = writeln!(
            out,
            "/// `wgsl/{}.wgsl`, expanded and validated.\npub(crate) const {}: Kernel = Kernel {{ name: {:?}, source: {:?}, workgroup_size: {:?}, workgroup_memory: {}, bindings: &{:?} }};",
            k.name,
            k.name.to_uppercase(),
            k.name,
            k.source,
            k.workgroup_size,
            k.workgroup_memory,
            k.bindings
        );
    }
    let names: Vec<_> = kernels.iter().map(|k| k.name.to_uppercase()).collect();
    let _ = writeln!(out, "/// Every kernel of the crate.\npub const ALL: &[Kernel] = &[{}];", names.join(", "));
    out
}
