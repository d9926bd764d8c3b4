//! Firefall in a browser: what a Web Worker needs of the core, and nothing else.
//!
//! The worker owns an [`Engine`], which owns the device and the model. A request goes in as JSON, and a `Job` hands out
//! the core's events one by one as JavaScript objects, pictures as `ImageData`; the worker owns the loop and stops by not
//! asking again. Everything that fails is thrown as an `Error` whose name is one of the reasons in `npm/index.d.ts`.

#![cfg(target_family = "wasm")]
#![recursion_limit = "256"]

mod engine;
mod failure;
mod paint;
mod picture;

use js_sys::JSON;
use serde_json::json;
use sha2::{Digest, Sha256};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

pub use engine::{Engine, Job};
pub use picture::{read_png, write_png};

#[wasm_bindgen]
extern "C" {
    /// Of the worker.
    #[wasm_bindgen(js_name = postMessage)]
    fn post_message(message: &JsValue);
}

#[expect(unsafe_code, reason = "the linker's own function has no other declaration")]
unsafe extern "C" {
    /// What the linker makes of all functions that want to run before everything else; Burn's compilers have thousands.
    fn __wasm_call_ctors();
}

/// Runs once, before everything else. A panic is told at once: what waits for it would wait forever, and the worker is of
/// no further use.
#[wasm_bindgen(start)]
pub fn start() {
    // In a program that does not call them itself, the linker makes every function that JavaScript can call, the
    // allocator and each callback among them, call them first, every time: more than half of the time of a step on WebGPU.
    #[expect(unsafe_code, reason = "the linker's own function")]
    // SAFETY: they are called here, once, before anything that relies on them.
    unsafe {
        __wasm_call_ctors();
    }
    std::panic::set_hook(Box::new(|info| {
        let told = json!({ "fatal": format!("The program failed: {info}") });
        if let Ok(message) = JSON::parse(&told.to_string()) {
            post_message(&message);
        }
    }));
}

/// SHA-256 as hexadecimal digits.
#[wasm_bindgen]
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
