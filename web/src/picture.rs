//! Pictures as a page has them.

use firefall_core::image::Picture;
use firefall_core::png::{Origin, encode, parse};
use js_sys::Uint8ClampedArray;
use serde_json::{Value, json};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::ImageData;

use crate::failure::{failure, unsupported};

/// With an opaque fourth channel, as a canvas wants it.
pub(crate) fn image_data(picture: &Picture) -> Result<JsValue, JsValue> {
    let rgba: Vec<u8> = picture.rgb.as_chunks().0.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect();
    let (width, height) = (picture.width as u32, picture.height as u32);
    // A copy of JavaScript's own: it keeps the array that it is given, and one in the program's memory moves when that grows.
    let rgba = Uint8ClampedArray::from(rgba.as_slice());
    Ok(ImageData::new_with_js_u8_clamped_array_and_sh(&rgba, width, height)?.into())
}

/// A PNG file of `width x height` pixels of four bytes with its origin, given as JSON; the seed is a text there, as it
/// may be larger than a JavaScript number holds.
///
/// # Errors
/// `unsupported_option` if the pixels are not so many or a text is too long.
#[wasm_bindgen]
pub fn write_png(rgba: &[u8], width: usize, height: usize, origin: &str) -> Result<Vec<u8>, JsValue> {
    let origin: Value = serde_json::from_str(origin).map_err(unsupported)?;
    let text = |key: &str| origin[key].as_str().map(str::to_owned);
    let origin = Origin {
        prompt: text("prompt"),
        negative: text("negative"),
        seed: text("seed").and_then(|seed| seed.parse().ok()),
        settings: origin.get("settings").cloned(),
        model: text("model"),
    };
    if rgba.len() != 4 * width * height {
        return Err(unsupported(format!("{} bytes are no picture of {width} x {height}", rgba.len())));
    }
    let rgb = rgba.as_chunks().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
    let mut file = Vec::new();
    encode(&mut file, &Picture { width, height, rgb }, &origin).map_err(unsupported)?;
    Ok(file)
}

/// What a PNG file says of how it was made, as JSON.
///
/// # Errors
/// `bad_file` says what is wrong with it.
#[wasm_bindgen]
pub fn read_png(file: &[u8]) -> Result<String, JsValue> {
    let Origin { prompt, negative, seed, settings, model } = parse(file).map_err(|e| failure("bad_file", e))?.origin;
    let seed = seed.map(|seed| seed.to_string());
    let told = json!({ "prompt": prompt, "negative": negative, "seed": seed, "settings": settings, "model": model });
    Ok(told.to_string())
}
