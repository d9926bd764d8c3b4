//! `firefall devices`: what can do the work, and what would.

use anyhow::Result;

use crate::device::{Adapter, adapters, auto, cpu_fault, switch_kernels};
use crate::outcome::print;

pub(super) fn run() -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    switch_kernels()?;
    print(&table(adapters(), threads, cpu_fault().as_deref()))
}

/// `fault` is what is wrong with the kernels of the CPU.
fn table(adapters: &[Adapter], threads: usize, fault: Option<&str>) -> String {
    let row = |[device, kind, api, name]: [&str; 4]| format!("{device:<8}{kind:<12}{api:<12}{name}\n");
    let mut text = row(["device", "kind", "API", "name"]);
    text.push_str(&row(["cpu", "processor", "-", &format!("{threads} threads")]));
    for (n, adapter) in adapters.iter().enumerate() {
        let driver = if adapter.driver.is_empty() { String::new() } else { format!(", {}", adapter.driver) };
        let kind = adapter.kind.to_string();
        text.push_str(&row([&format!("gpu:{n}"), &kind, adapter.api, &format!("{}{driver}", adapter.name)]));
    }
    let fault = fault.map_or_else(String::new, |fault| format!("\non the CPU {fault}\n"));
    let (choice, reason) = auto(adapters);
    text + &fault + &format!("\nauto takes {choice}: {reason}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_gpu_the_cpu_is_taken() {
        let text = table(&[], 4, None);
        assert!(
            text.ends_with("cpu     processor   -           4 threads\n\nauto takes cpu: there is no GPU\n"),
            "{text}"
        );
        let text = table(&[], 4, Some("silu is wrong"));
        assert!(
            text.ends_with(" 4 threads\n\non the CPU silu is wrong\n\nauto takes cpu: there is no GPU\n"),
            "{text}"
        );
    }
}
