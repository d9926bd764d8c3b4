//! A device, a model on it, and runs of the model.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::sync::Arc;

use burn::tensor::Device;
use burn::tensor::wgpu::WgpuBackend;
use firefall_core::cascade::{Event, Model, Request, Run};
use firefall_core::diffusion::SamplerKind;
use firefall_core::inpaint;
use js_sys::{Array, JSON, Reflect};
use serde_json::{Value, json};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::failure::{failure, of_run, unsupported};
use crate::paint::{Paint, Painted};
use crate::picture::image_data;

/// What a worker owns.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Engine {
    device: Device,
    /// What is wrong with the kernels of the CPU.
    fault: Option<String>,
    files: BTreeMap<String, Vec<u8>>,
    model: Option<Arc<Model>>,
}

/// A request at work.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Job {
    run: Run,
    /// What the pictures are put back into; nothing if they are whole.
    into: Option<inpaint::Job>,
}

#[wasm_bindgen]
impl Engine {
    /// Opens `webgpu` or `cpu` and tries the kernels there. Burn's own operations take the place of those that are wrong,
    /// which [`fault`](Self::fault) tells.
    ///
    /// # Errors
    /// `webgpu_unsupported` if a GPU does not open or computes wrongly.
    pub async fn open(kind: &str) -> Result<Self, JsValue> {
        let refused = |message: String| failure("webgpu_unsupported", message);
        let device = match kind {
            "cpu" => Device::flex(),
            _ => {
                let options = Device::wgpu_options().graphics_api(WgpuBackend::WebGpu);
                options.init_async().await.map_err(|e| refused(e.to_string()))?
            }
        };
        let fault = firefall_shaders::self_test(&device).await.map_err(refused)?;
        Ok(Self { device, fault, files: BTreeMap::new(), model: None })
    }

    /// What is wrong with the kernels on the device, as a part of a sentence; `undefined` where nothing is.
    pub fn fault(&self) -> Option<String> {
        self.fault.clone()
    }

    /// Hands over a file of the model.
    pub fn put(&mut self, name: String, bytes: Vec<u8>) {
        self.files.insert(name, bytes);
    }

    /// Makes the model of the files, which are then forgotten; returns what there is to know of it, as JSON.
    ///
    /// # Errors
    /// `bad_model` names the file that is missing, damaged or astray.
    pub fn load(&mut self) -> Result<String, JsValue> {
        let mut files = std::mem::take(&mut self.files);
        let read = |name: &str| files.remove(name).ok_or_else(|| Error::new(ErrorKind::NotFound, "it is missing"));
        let model = Model::load(read, &self.device).map_err(|e| failure("bad_model", e))?;
        let stages = model.config.stages.iter().map(|stage| {
            let sampling = &stage.sampling;
            json!({
                "size": stage.size,
                "steps": sampling.steps,
                "sampler": sampling.sampler.name(),
                "condScale": sampling.cond_scale,
            })
        });
        let about = json!({
            "name": model.config.name,
            "hash": model.hash,
            "licence": model.licence.trim(),
            "stages": stages.collect::<Vec<_>>(),
            "samplers": SamplerKind::NAMES,
        });
        self.model = Some(Arc::new(model));
        Ok(about.to_string())
    }

    /// Begins a run.
    ///
    /// # Errors
    /// `model_not_loaded`, or `unsupported_option` with what in the request makes no sense.
    pub fn start(&self, request: &str) -> Result<Job, JsValue> {
        let model = self.loaded()?;
        let (request, paint) = parse(request)?;
        if paint.is_some() {
            return Err(unsupported("the request has \"paint\", and there is no picture to paint in"));
        }
        Ok(Job { run: Run::new(model.clone(), request).map_err(unsupported)?, into: None })
    }

    /// Begins a run that paints into a picture of four bytes a pixel where `mask`, of one byte a pixel, is 128 or more;
    /// all pictures of the run are the whole picture, in which every byte outside the feathered mask is that of `rgba`.
    /// The request may carry `paint: { preset, strength, context, grow, feather }`.
    ///
    /// # Errors
    /// As [`start`](Self::start); `unsupported_option` also for an empty mask, for sizes that differ, and for more than
    /// 4096 pixels a side.
    pub fn paint(&self, request: &str, rgba: &[u8], mask: &[u8], width: usize, height: usize) -> Result<Job, JsValue> {
        let model = self.loaded()?;
        let (mut request, paint) = parse(request)?;
        let painted = Painted { rgba, mask, width, height };
        let into = paint.unwrap_or_default().job(painted, &mut request, model).map_err(unsupported)?;
        Ok(Job { run: Run::new(model.clone(), request).map_err(unsupported)?, into: Some(into) })
    }

    /// What a request comes to, stage by stage, as PNG files carry it; `inpaint` says how it was painted if the request
    /// has `paint`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn settings(&self, request: &str) -> Result<String, JsValue> {
        let model = self.loaded()?;
        let (request, paint) = parse(request)?;
        let mut settings = request.described(&model.config);
        if let Some(paint) = paint {
            settings["inpaint"] = paint.described().map_err(unsupported)?;
        }
        Ok(settings.to_string())
    }

    fn loaded(&self) -> Result<&Arc<Model>, JsValue> {
        self.model.as_ref().ok_or_else(|| failure("model_not_loaded", "no model is loaded"))
    }
}

#[wasm_bindgen]
impl Job {
    /// Works until there is something to tell, at most one step; `undefined` after the last event.
    ///
    /// # Errors
    /// `device_lost` or `not_finite`; the run is over then.
    pub async fn next(&mut self) -> Result<JsValue, JsValue> {
        let Some(event) = self.run.next().await.map_err(|e| of_run(&e))? else { return Ok(JsValue::UNDEFINED) };
        let json = serde_json::to_string(&event).map_err(|e| failure("internal_error", e))?;
        let told = JSON::parse(&json)?;
        let pictures = match event {
            Event::Step { preview: Some(pictures), .. } | Event::Done { pictures } => pictures,
            _ => return Ok(told),
        };
        let whole =
            |picture| self.into.as_ref().map_or_else(|| image_data(picture), |into| image_data(&into.finish(picture)));
        let images: Array = pictures.iter().map(whole).collect::<Result<_, _>>()?;
        Reflect::set(&told, &"pictures".into(), &images)?;
        Ok(told)
    }
}

/// The core's request; a sampler may be given by its name, as people type it. How to paint stands beside it.
fn parse(request: &str) -> Result<(Request, Option<Paint>), JsValue> {
    let mut request: Value = serde_json::from_str(request).map_err(unsupported)?;
    let paint = Paint::take(&mut request).map_err(unsupported)?;
    for stage in request.get_mut("stages").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(name) = stage["sampler"].as_str() {
            let sampler = SamplerKind::from_name(name).map_err(unsupported)?;
            stage["sampler"] = serde_json::to_value(sampler).map_err(unsupported)?;
        }
    }
    Ok((serde_json::from_value(request).map_err(unsupported)?, paint))
}
