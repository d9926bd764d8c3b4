//! A request at work.

use std::collections::VecDeque;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use super::config::SamplingConfig;
use super::event::Event;
use super::lowres;
use super::model::Model;
use super::request::{Request, RequestError, StageSettings, is_blank};
use super::stage::{Guided, Interval};
use crate::diffusion::{Known, Level, Sampler, SamplerKind};
use crate::image::{Picture, PixelError};
use crate::noise::picture_noise;
use crate::text::{TextEmbedding, TokenizerError};
use crate::unet::condition::{TextInput, Told};

/// The noise on the smaller picture has this number where sampling steps have theirs, which stay far below.
const LOWRES_STEP: usize = 0xffff_ffff;

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The request makes no sense for this model.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A prompt cannot be written in tokens.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The pictures could not be read back.
    #[error("stage {stage}: {source}")]
    Pixels {
        /// The stage, from 1.
        stage: usize,
        /// What happened.
        source: PixelError,
    },
}

/// A request at work on a model; the caller owns the loop.
#[derive(Debug)]
pub struct Run {
    model: Arc<Model>,
    request: Request,
    /// Told before the next work is done.
    pending: VecDeque<Event>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing is done.
    Start,
    /// The stage of this number, from 0, comes next, on the picture of the one before.
    Before(Box<(usize, Prompts, Option<Tensor<4>>)>),
    /// A stage at work.
    Stage(Box<Work>),
    /// Nothing is left.
    End,
}

/// The encoded prompts, and what stands against each.
#[derive(Debug, Clone)]
struct Prompts {
    tokens: Tensor<3>,
    mask: Tensor<2>,
    /// `[2 b]`, 0 for a picture without a negative prompt.
    keep: Tensor<1>,
}

#[derive(Debug)]
struct Work {
    stage: usize,
    prompts: Prompts,
    told: Told,
    cond_scale: f64,
    interval: Option<Interval>,
    sampler: Sampler,
}

impl Run {
    /// Checks the request; no work is done yet.
    ///
    /// # Errors
    /// What in the request makes no sense.
    pub fn new(model: Arc<Model>, request: Request) -> Result<Self, RequestError> {
        request.validate(&model.config)?;
        Ok(Self { model, request, pending: VecDeque::new(), state: State::Start })
    }

    /// Works until there is something to tell: at most one step of one stage. Nothing after [`Event::Done`].
    ///
    /// A future that is dropped before it is ready ends the run: there is no [`Event::Done`] then.
    ///
    /// # Errors
    /// If a device fails or a network gives values that are no numbers; the run is over then.
    pub async fn next(&mut self) -> Result<Option<Event>, RunError> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            let worked = match std::mem::replace(&mut self.state, State::End) {
                State::Start => self.encode(),
                State::Before(next) => {
                    let (stage, prompts, small) = *next;
                    self.start(stage, prompts, small);
                    Ok(())
                }
                State::Stage(work) => self.step(work).await,
                State::End => return Ok(None),
            };
            if let Err(error) = worked {
                // What the failed step would have told is no longer true.
                self.pending.clear();
                return Err(error);
            }
        }
    }

    fn encode(&mut self) -> Result<(), RunError> {
        let device = &self.model.device;
        let pictures = &self.request.pictures;
        let b = pictures.len();
        let negative = |p: &super::PictureRequest| p.negative.clone().unwrap_or_default();
        let texts: Vec<String> =
            pictures.iter().map(|p| p.prompt.clone()).chain(pictures.iter().map(negative)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let encoded = self.model.text.encode(&texts, device)?;
        for i in (0..2 * b).filter(|&i| encoded.truncated[i]) {
            let max = self.model.config.text.max_len;
            let (kind, number) = if i < b { ("prompt", i + 1) } else { ("negative prompt", i - b + 1) };
            let message = format!("the {kind} of picture {number} is longer than {max} tokens; the rest was cut");
            self.pending.push_back(Event::Warning { message });
        }
        self.pending.push_back(Event::Encoded { tokens: encoded.lengths[..b].to_vec() });

        let has_negative = |p: &super::PictureRequest| p.negative.as_ref().is_some_and(|n| !is_blank(n));
        let keep: Vec<f32> = (0..2 * b).map(|i| f32::from(u8::from(i < b || has_negative(&pictures[i - b])))).collect();
        let keep = Tensor::from_data(TensorData::new(keep, [2 * b]), device);
        let TextEmbedding { tokens, mask } = encoded.embedding;
        self.state = State::Before(Box::new((0, Prompts { tokens, mask, keep }, None)));
        Ok(())
    }

    fn start(&mut self, index: usize, prompts: Prompts, small: Option<Tensor<4>>) {
        let stage = &self.model.stages[index];
        let settings = self.request.stages.get(index).copied().unwrap_or_default();
        let sampling = apply(stage.config.sampling, settings);
        let size = stage.config.size;
        let lowres = small.zip(stage.config.lowres).map(|(small, config)| {
            let std = settings.lowres_std.unwrap_or(config.sample_std);
            lowres::condition(small, size, std, self.noise(index, LOWRES_STEP))
        });
        let levels = sampling.sampler.levels(&stage.config.process, sampling.steps);
        let known = self.known(index);
        let sampler = self.sampler(index, sampling.sampler, levels.clone(), known.clone());
        let (stages, steps) = (self.request.stages_of(&self.model.config), sampler.total());
        self.pending.push_back(Event::StageStarted { stage: index + 1, stages, size, steps });
        let b = self.request.pictures.len();
        let rows = if sampling.cond_scale == 1.0 { b } else { 2 * b };
        let text = TextInput {
            tokens: prompts.tokens.clone().slice([0..rows]),
            mask: prompts.mask.clone().slice([0..rows]),
            keep: prompts.keep.clone().slice([0..rows]),
        };
        let cond_scale = sampling.cond_scale;
        let told = stage.read(cond_scale, text, lowres, known.as_ref());
        let told = stage.read_levels(told, &levels);
        let interval = sampling.guidance_interval.filter(|_| cond_scale > 1.0);
        let interval = interval.map(|sigma| Interval { sigma, told: told.first(b) });
        self.state = State::Stage(Box::new(Work { stage: index, prompts, told, cond_scale, interval, sampler }));
    }

    /// From noise, or from the canvas.
    fn sampler(&self, index: usize, kind: SamplerKind, levels: Vec<Level>, known: Option<Known>) -> Sampler {
        let eps = self.noise(index, 0);
        let Some(canvas) = &self.request.canvas else { return Sampler::new(kind, levels, eps) };
        let (b, size, device) = (self.request.pictures.len(), self.model.stages[index].config.size, &self.model.device);
        let sampler = match canvas.strength < 1.0 {
            true => Sampler::from_picture(kind, &levels, canvas.strength, canvas.picture(b, size, device), eps),
            false => Sampler::new(kind, levels, eps),
        };
        match known {
            Some(known) => sampler.painting(known, canvas.resampling),
            None => sampler,
        }
    }

    /// What is known of the pictures of a stage, if they are painted into.
    fn known(&self, index: usize) -> Option<Known> {
        let (b, size) = (self.request.pictures.len(), self.model.stages[index].config.size);
        self.request.canvas.as_ref()?.known(b, size, &self.model.device)
    }

    async fn step(&mut self, mut work: Box<Work>) -> Result<(), RunError> {
        let index = work.stage;
        let stage = &self.model.stages[index];
        let denoiser =
            Guided { stage, cond_scale: work.cond_scale, told: &work.told, interval: work.interval.as_ref() };
        let mut noise = |step: usize| self.noise(index, step);
        let Some(step) = work.sampler.step(&denoiser, &mut noise) else { return Ok(()) };
        let last = step.done == step.total;
        let pixels = |source| RunError::Pixels { stage: index + 1, source };
        let preview = match self.request.previews {
            true => Some(Picture::read(step.x0_hat.clone()).await.map_err(pixels)?),
            false => {
                corner(&step.x0_hat).await.map_err(pixels)?;
                None
            }
        };
        let event = Event::Step { stage: index + 1, step: step.done, steps: step.total, preview };
        self.pending.push_back(event);
        if !last {
            self.state = State::Stage(work);
            return Ok(());
        }
        self.pending.push_back(Event::StageDone { stage: index + 1 });
        if index + 1 == self.request.stages_of(&self.model.config) {
            let pictures = Picture::read(work.sampler.x_t().clone()).await.map_err(pixels)?;
            self.pending.push_back(Event::Done { pictures });
        } else {
            // Looked at here, so that this stage is named if it gave values that are no numbers, and not the next.
            Picture::read(work.sampler.x_t().clone()).await.map_err(pixels)?;
            let small = work.sampler.x_t().clone().clamp(-1.0, 1.0);
            self.state = State::Before(Box::new((index + 1, work.prompts, Some(small))));
        }
        Ok(())
    }

    /// The noise of one step for every picture of the batch, each from its own seed.
    fn noise(&self, stage: usize, step: usize) -> Tensor<4> {
        let config = &self.model.stages[stage].config;
        noise(&self.request, stage, step, [config.unet.channels, config.size], &self.model.device)
    }
}

/// Reads one value, so that a step is done when its event says so and a stop takes effect within it. A network that
/// gives values that are no numbers mostly gives them everywhere.
///
/// # Shapes
/// - `x0_hat`: `[b, c, h, w]`
async fn corner(x0_hat: &Tensor<4>) -> Result<(), PixelError> {
    let failed = |e: &dyn std::fmt::Debug| PixelError::Device(format!("{e:?}"));
    let data = x0_hat.clone().slice([0..1, 0..1, 0..1, 0..1]).into_data_async().await.map_err(|e| failed(&e))?;
    let values: Vec<f32> = data.try_into_vec_as().map_err(|e| failed(&e))?;
    if values.iter().all(|v| v.is_finite()) { Ok(()) } else { Err(PixelError::NotFinite) }
}

fn noise(request: &Request, stage: usize, step: usize, [c, size]: [usize; 2], device: &Device) -> Tensor<4> {
    let len = c * size * size;
    let values: Vec<f32> = request.pictures.iter().flat_map(|p| picture_noise(p.seed, stage, step, len)).collect();
    Tensor::from_data(TensorData::new(values, [request.pictures.len(), c, size, size]), device)
}

fn apply(mut sampling: SamplingConfig, settings: StageSettings) -> SamplingConfig {
    sampling.steps = settings.steps.unwrap_or(sampling.steps);
    sampling.cond_scale = settings.cond_scale.unwrap_or(sampling.cond_scale);
    sampling.sampler = settings.sampler.unwrap_or(sampling.sampler);
    sampling
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn::tensor::Device;

    use super::{Run, State};
    use crate::cascade::{Model, ModelConfig, Request, Stage, StageConfig, StageSettings, TextModelConfig};
    use crate::nn::Init;
    use crate::nn::attention::AttentionSize;
    use crate::text::{T5Config, T5Encoder, TextEncoder, Tokenizer};
    use crate::unet::config::{LevelConfig, TextConfig, UnetConfig};
    use crate::unet::unet2d::Unet;

    fn model() -> Model {
        let device = Device::flex();
        let t5 = T5Config {
            vocab_size: 3,
            d_model: 4,
            d_kv: 2,
            d_ff: 4,
            num_layers: 1,
            num_heads: 2,
            ..T5Config::default()
        };
        let tokenizer = br#"{"version":"1.0","added_tokens":[],"pre_tokenizer":{"type":"WhitespaceSplit"},
            "model":{"type":"WordLevel","unk_token":"dot","vocab":{"<pad>":0,"</s>":1,"dot":2}}}"#;
        let attn = AttentionSize { heads: 1, dim_head: 4 };
        let unet = UnetConfig {
            dim: 4,
            levels: vec![LevelConfig::default()],
            attn,
            middle_cross: attn,
            stem: crate::unet::Stem::Conv(3),
            text: Some(TextConfig { embed_dim: 4, max_len: 4, masked: false, pool: None }),
            ..UnetConfig::default()
        };
        let stage = StageConfig { size: 4, unet, ..StageConfig::default() };
        let text = TextModelConfig { t5: t5.clone(), max_len: 4 };
        let config = ModelConfig { format: 1, name: "a".into(), text, stages: vec![stage.clone()] };
        config.validate().unwrap();
        let t5 = T5Encoder::new(&mut Init::seeded(&device, 1), &t5);
        let text = TextEncoder::new(Tokenizer::from_bytes(tokenizer).unwrap(), t5, 4).unwrap();
        let unet = Unet::new(&mut Init::seeded(&device, 2), &stage.unet);
        let (hash, licence) = (String::new(), String::new());
        Model { config, text, stages: vec![Stage { config: stage, unet }], device, hash, licence }
    }

    /// Rows that the network works on, and the picture's own noise.
    fn rows(cond_scale: f64, pictures: usize) -> [usize; 2] {
        let settings = StageSettings { cond_scale: Some(cond_scale), steps: Some(1), ..StageSettings::default() };
        let one = Request::one("dot", 1);
        let request = Request { stages: vec![settings], pictures: vec![one.pictures[0].clone(); pictures], ..one };
        let mut run = Run::new(Arc::new(model()), request).unwrap();
        loop {
            pollster::block_on(run.next()).unwrap().expect("a stage");
            if let State::Stage(work) = &run.state {
                return [work.told.rows().unwrap(), work.sampler.x_t().dims()[0]];
            }
        }
    }

    #[test]
    fn outside_its_interval_guidance_costs_nothing() {
        let mut model = model();
        model.stages[0].config.sampling.guidance_interval = Some([0.1, 1.0]);
        let model = Arc::new(model);
        for (cond_scale, alone) in [(3.0, Some(1)), (1.0, None), (0.0, None)] {
            let settings = StageSettings { cond_scale: Some(cond_scale), ..StageSettings::default() };
            let request = Request { stages: vec![settings], ..Request::one("dot", 1) };
            let mut run = Run::new(model.clone(), request).unwrap();
            while !matches!(run.state, State::Stage(_)) {
                pollster::block_on(run.next()).unwrap().expect("a stage");
            }
            let State::Stage(work) = &run.state else { unreachable!("as the loop says") };
            assert_eq!(work.interval.as_ref().map(|interval| interval.told.rows().unwrap()), alone, "{cond_scale}");
        }
    }

    #[test]
    fn without_guidance_there_is_half_the_work() {
        assert_eq!(rows(3.0, 2), [4, 2]);
        assert_eq!(rows(0.0, 2), [4, 2]);
        assert_eq!(rows(1.0, 2), [2, 2]);
    }
}
