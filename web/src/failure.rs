//! What a worker is told when something fails.

use std::fmt::Display;

use firefall_core::cascade::RunError;
use firefall_core::image::PixelError;
use wasm_bindgen::JsValue;

/// An `Error` whose name is the reason.
pub(crate) fn failure(reason: &str, message: impl Display) -> JsValue {
    let error = js_sys::Error::new(&sentence(&message.to_string()));
    error.set_name(reason);
    error.into()
}

/// Something that is asked for makes no sense.
pub(crate) fn unsupported(message: impl Display) -> JsValue {
    failure("unsupported_option", message)
}

pub(crate) fn of_run(error: &RunError) -> JsValue {
    let reason = match error {
        RunError::Request(_) => "unsupported_option",
        RunError::Tokenizer(_) => "bad_model",
        RunError::Pixels { source: PixelError::NotFinite, .. } => "not_finite",
        RunError::Pixels { source: PixelError::Device(_), .. } => "device_lost",
    };
    failure(reason, error)
}

/// With a capital and a full stop: the core's messages are parts of sentences.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let head: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    let stop = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{head}{}{stop}", chars.as_str())
}
