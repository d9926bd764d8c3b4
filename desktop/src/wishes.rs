//! What the user wants of the next pictures: everything but the picture itself. It is kept with a session and written
//! into saved pictures.

mod task;

use std::sync::Arc;

use firefall_core::cascade::{ModelConfig, PictureRequest, Request, StageSettings};
use firefall_core::diffusion::{Resampling, SamplerKind};
use firefall_core::image::{Mask, Picture};
use firefall_core::inpaint::{Blend, Job, region};
use firefall_core::png::Origin;
use firefall_core::world::Colour;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use task::{Manner, Task};

/// The most variations of one batch.
pub const MOST: usize = 8;

/// Everything that is set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wishes {
    /// What the picture shows when it is done.
    pub prompt: String,
    /// What it does not show.
    pub negative: String,
    /// What is to happen under the mask.
    pub task: Task,
    /// How much may change, above 0 and at most 1.
    pub strength: f64,
    /// How much the model sees beside the mask, in lengths of it.
    pub context: f64,
    /// How often the walk from noise turns back; the model's own if absent.
    pub resampling: Option<Resampling>,
    /// Steps of the first stage; the model's own if absent. The other stages do as the model has it.
    pub steps: Option<usize>,
    /// Guidance of the first stage; the model's own if absent.
    pub cond_scale: Option<f64>,
    /// The name of the first stage's sampler; the model's own if absent.
    pub sampler: Option<String>,
    /// Variations of a batch, each with its own seed.
    pub count: usize,
    /// The seed of the first.
    pub seed: u64,
    /// Whether the next batch has the same seed again.
    pub locked: bool,
    /// How what is painted goes over into what was there.
    pub blend: Blend,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            prompt: String::new(),
            negative: String::new(),
            task: Task::Fill,
            strength: 1.0,
            context: region::CONTEXT,
            resampling: None,
            steps: None,
            cond_scale: None,
            sampler: None,
            count: 4,
            seed: 1,
            locked: false,
            blend: Blend::default(),
        }
    }
}

impl Wishes {
    /// Takes a task with the settings that go with it.
    pub fn take(&mut self, task: Task) {
        self.task = task;
        let Manner { strength, context, resampling } = task.manner();
        (self.strength, self.context, self.resampling) = (strength, context, resampling);
    }

    /// The settings of tasks as they are now, in words.
    #[must_use]
    pub fn manner(&self) -> Manner {
        Manner { strength: self.strength, context: self.context, resampling: self.resampling }
    }

    /// How often the walk from noise turns back, with a model of `config`.
    #[must_use]
    pub fn resampling(&self, config: &ModelConfig) -> Resampling {
        self.resampling.unwrap_or_else(|| config.resampling())
    }

    /// Of a session; what it does not have, or what makes no sense, is as usual. Each for itself: one that is not
    /// understood takes no other with it.
    #[must_use]
    pub fn restored(value: &Value) -> Self {
        let usual = Self::default();
        let sampler = read::<String>(&value["sampler"]).filter(|name| SamplerKind::from_name(name).is_ok());
        Self {
            prompt: read(&value["prompt"]).unwrap_or(usual.prompt),
            negative: read(&value["negative"]).unwrap_or(usual.negative),
            task: read(&value["task"]).unwrap_or(usual.task),
            strength: read::<f64>(&value["strength"]).filter(|s| *s > 0.0 && *s <= 1.0).unwrap_or(usual.strength),
            context: read(&value["context"]).filter(is_context).unwrap_or(usual.context),
            resampling: read::<Resampling>(&value["resampling"]).filter(|resampling| resampling.validate().is_ok()),
            steps: read(&value["steps"]),
            cond_scale: read::<f64>(&value["cond_scale"]).filter(|w| w.is_finite()),
            sampler,
            count: read::<usize>(&value["count"]).unwrap_or(usual.count).clamp(1, MOST),
            seed: read(&value["seed"]).unwrap_or(usual.seed),
            locked: read(&value["locked"]).unwrap_or(usual.locked),
            blend: read::<Blend>(&value["blend"]).filter(|blend| blend.validate().is_ok()).unwrap_or(usual.blend),
        }
    }

    /// Takes over what a saved picture says of itself. What the model of `config` would do by itself is left to it.
    pub fn adopt(&mut self, origin: &Origin, config: Option<&ModelConfig>) {
        if let Some(prompt) = &origin.prompt {
            self.prompt.clone_from(prompt);
            self.negative = origin.negative.clone().unwrap_or_default();
        }
        if let Some(seed) = origin.seed {
            (self.seed, self.locked) = (seed, true);
        }
        let Some(settings) = &origin.settings else { return };
        let said = Said::of(settings);
        self.steps = said.steps.or(self.steps);
        self.cond_scale = said.cond_scale.or(self.cond_scale);
        self.sampler = said.sampler.or_else(|| self.sampler.take());
        self.resampling = said.resampling.or(self.resampling);
        let inpaint = &settings["inpaint"];
        self.strength = inpaint["strength"].as_f64().filter(|s| *s > 0.0 && *s <= 1.0).unwrap_or(self.strength);
        self.context = read(&inpaint["context"]).filter(is_context).unwrap_or(self.context);
        let blend = read::<Blend>(&inpaint["blend"]).filter(|blend| blend.validate().is_ok());
        self.blend = blend.unwrap_or(self.blend);
        if let Some(config) = config {
            self.leave_to_model(origin, config);
        }
    }

    /// Leaves to the model what a picture says where the model would do the same in its first stage, the one that wishes
    /// are for.
    pub fn leave_to_model(&mut self, origin: &Origin, config: &ModelConfig) {
        let (Some(settings), Some(stage)) = (&origin.settings, config.stages.first()) else { return };
        let (said, own) = (Said::of(settings), &stage.sampling);
        self.steps = left(self.steps, said.steps.as_ref(), &own.steps);
        self.cond_scale = left(self.cond_scale, said.cond_scale.as_ref(), &own.cond_scale);
        self.sampler = left(self.sampler.take(), said.sampler.as_ref(), &own.sampler.name().to_owned());
        self.resampling = left(self.resampling, said.resampling.as_ref(), &config.resampling());
    }

    /// The request, without the picture that is painted in.
    ///
    /// # Errors
    /// What makes no sense, in a sentence.
    pub fn request(&self, config: &ModelConfig) -> Result<Request, String> {
        // Which background it is makes no difference here.
        let own = self.task.prompt(|| Colour::White);
        self.request_for(own.as_ref().unwrap_or(&self.prompt), config)
    }

    fn request_for(&self, prompt: &str, config: &ModelConfig) -> Result<Request, String> {
        let sampler = self.sampler.as_deref().map(SamplerKind::from_name).transpose()?;
        let settings = StageSettings { steps: self.steps, cond_scale: self.cond_scale, sampler, lowres_std: None };
        let negative = Some(self.negative.clone()).filter(|text| !text.trim().is_empty());
        let picture = |n: u64| PictureRequest {
            prompt: prompt.to_owned(),
            negative: negative.clone(),
            seed: self.seed.wrapping_add(n),
        };
        let request = Request {
            pictures: (0..self.count as u64).map(picture).collect(),
            // The later ones are made for what they get, and want neither the steps nor the guidance of the first.
            stages: vec![settings],
            previews: true,
            ..Request::default()
        };
        check(&request, config)?;
        Ok(request)
    }

    /// What a picture of `request` says of how it was made.
    #[must_use]
    pub fn origin(&self, request: &Request, picture: usize, config: &ModelConfig, hash: &str) -> Origin {
        let mut settings = request.described(config);
        if let Value::Object(settings) = &mut settings {
            let (resampling, strength, context) = (self.resampling(config), self.strength, self.context);
            let painted =
                json!({ "resampling": resampling, "strength": strength, "context": context, "blend": self.blend });
            settings.insert("inpaint".into(), painted);
        }
        let wish = request.pictures.get(picture);
        Origin {
            prompt: wish.map(|wish| wish.prompt.clone()),
            negative: wish.and_then(|wish| wish.negative.clone()),
            seed: wish.map(|wish| wish.seed),
            settings: Some(settings),
            model: Some(hash.to_owned()),
        }
    }
}

/// What a picture says of settings that a model has of its own, as far as it makes sense.
struct Said {
    steps: Option<usize>,
    cond_scale: Option<f64>,
    sampler: Option<String>,
    resampling: Option<Resampling>,
}

impl Said {
    /// Of the first stage, as the wishes are.
    fn of(settings: &Value) -> Self {
        let stage = &settings["stages"][0];
        let sampler = stage["sampler"].as_str().filter(|name| SamplerKind::from_name(name).is_ok());
        let resampling = read::<Resampling>(&settings["inpaint"]["resampling"]);
        Self {
            steps: stage["steps"].as_u64().and_then(|n| usize::try_from(n).ok()),
            cond_scale: stage["cond_scale"].as_f64().filter(|w| w.is_finite()),
            sampler: sampler.map(str::to_owned),
            resampling: resampling.filter(|resampling| resampling.validate().is_ok()),
        }
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

/// Whether a model can see so much.
fn is_context(context: &f64) -> bool {
    let [least, most] = region::CONTEXTS;
    (least..=most).contains(context)
}

/// A wish, unless a picture said so and the model has the same of its own.
fn left<T: PartialEq>(wish: Option<T>, said: Option<&T>, own: &T) -> Option<T> {
    wish.filter(|wish| said != Some(wish) || wish != own)
}

/// All have the same prompt: one stands for all of them.
fn check(request: &Request, config: &ModelConfig) -> Result<(), String> {
    let first = request.pictures.iter().take(1).cloned().collect();
    let first = Request { pictures: first, ..request.clone() };
    first.validate(config).map_err(|e| sentence(&e.to_string()))
}

/// What a batch is to be made of, as the window has it.
#[derive(Debug, Clone)]
pub struct Order {
    /// What is painted in.
    pub picture: Arc<Picture>,
    /// Where; everywhere if nothing is marked.
    pub mask: Arc<Mask>,
    /// What, and how.
    pub wishes: Wishes,
}

/// A batch that can begin.
#[derive(Debug, Clone)]
pub struct Batch {
    /// What is painted in, and how it is put back.
    pub job: Arc<Job>,
    /// What the model is asked for.
    pub request: Request,
    /// What each of the pictures says of how it was made.
    pub origins: Vec<Origin>,
    /// Calls of the denoisers up to the end of each stage, beginning with none.
    pub calls: Vec<usize>,
}

impl Order {
    /// Cuts out what the model sees and works out how it is put back: on a large picture that takes its time.
    ///
    /// # Errors
    /// What makes no sense, in a sentence.
    pub fn prepare(&self, config: &ModelConfig, hash: &str) -> Result<Batch, String> {
        let wishes = &self.wishes;
        let picture = Picture::clone(&self.picture);
        let mask = match self.mask.alpha.iter().max() {
            Some(&most) if (1..FAINTEST).contains(&most) => return Err(FAINT.into()),
            Some(1..) => Mask::clone(&self.mask),
            _ => Mask::filled(picture.width, picture.height, 255),
        };
        let job = Job::seeing(wishes.context, picture, mask, wishes.blend, config);
        let job = job.map_err(|e| sentence(&e.to_string()))?;
        let own = wishes.task.prompt(|| task::background(&self.picture, &self.mask));
        let request = wishes.request_for(own.as_ref().unwrap_or(&wishes.prompt), config)?;
        let canvas = job.canvas(config, wishes.resampling(config), wishes.strength);
        let request = Request { canvas: Some(canvas), ..request };
        check(&request, config)?;
        let origins = (0..request.pictures.len()).map(|i| wishes.origin(&request, i, config, hash)).collect();
        let calls = calls(&request, config);
        Ok(Batch { job: Arc::new(job), request, origins, calls })
    }
}

/// With less in every pixel of a mask, a tenth, hardly anything would be seen of what is painted.
const FAINTEST: u8 = 26;
/// Why such a mask, which nobody wants to be everything, is refused.
const FAINT: &str = "The mask is too faint: nothing is marked by a tenth or more. Paint over it again, or clear it.";

/// Calls of the denoisers up to the end of each stage, beginning with none.
fn calls(request: &Request, config: &ModelConfig) -> Vec<usize> {
    let up_to = |stage: usize| {
        let (stages, canvas) = (request.stages.clone(), request.canvas.clone());
        Request { stages, canvas, stop_after: Some(stage), ..Request::default() }.calls(config)
    };
    (0..=config.stages.len()).map(up_to).collect()
}

/// With a capital letter and a full stop.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut chars = text.trim().chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.trim().ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_come_back_and_nonsense_is_left_out() {
        let wishes = Wishes { prompt: "a red star".into(), seed: u64::MAX, steps: Some(7), ..Wishes::default() };
        assert_eq!(Wishes::restored(&serde_json::to_value(&wishes).unwrap()), wishes);
        assert_eq!(Wishes::restored(&json!({ "prompt": 7 })), Wishes::default());
        let bad = json!({ "prompt": "a", "strength": -3.0, "count": 900, "resampling": { "jump": 0, "repeats": 1 } });
        let read = Wishes::restored(&bad);
        assert_eq!((read.strength, read.count, read.resampling), (1.0, MOST, None));
        assert_eq!(read.prompt, "a");
    }

    #[test]
    fn what_is_not_understood_takes_nothing_else_with_it() {
        let blend = Blend { grow: Some(9.0), ..Blend::default() };
        let wishes = Wishes { prompt: "a fox".into(), seed: 7, locked: true, blend, ..Wishes::default() };
        let odd = [
            ("task", json!("dream")),
            ("sampler", json!("none")),
            ("steps", json!(-3)),
            ("count", json!("many")),
            ("context", json!(0.1)),
        ];
        let mut session = serde_json::to_value(&wishes).unwrap();
        for (key, value) in odd {
            session[key] = value;
            assert_eq!(Wishes::restored(&session), wishes, "{key}");
        }
        session["blend"]["colour"] = json!(1);
        assert_eq!(Wishes::restored(&session), Wishes { blend: Blend::default(), ..wishes });
        assert_eq!(Wishes::restored(&json!("nothing")), Wishes::default());
    }

    #[test]
    fn a_picture_tells_its_settings() {
        let mut wishes = Wishes { cond_scale: Some(2.0), ..Wishes::default() };
        let settings = json!({ "stages": [{ "steps": 9, "cond_scale": "x", "sampler": "heun" }] });
        let origin = Origin { prompt: Some("b".into()), seed: Some(4), settings: Some(settings), ..Origin::default() };
        wishes.adopt(&origin, None);
        assert_eq!((wishes.prompt.as_str(), wishes.seed, wishes.locked, wishes.steps), ("b", 4, true, Some(9)));
        assert_eq!((wishes.cond_scale, wishes.sampler.as_deref()), (Some(2.0), Some("heun")));
        wishes.adopt(&Origin { settings: Some(json!({ "stages": "none" })), ..Origin::default() }, None);
        assert_eq!(wishes.steps, Some(9));
        let odd = json!({ "resampling": { "jump": 0, "repeats": 1 }, "strength": 7, "blend": { "grow": -1.0 } });
        wishes.adopt(&Origin { settings: Some(json!({ "inpaint": odd })), ..Origin::default() }, None);
        assert_eq!((wishes.resampling, wishes.strength, wishes.blend), (None, 1.0, Blend::default()));
    }

    #[test]
    fn a_picture_that_is_made_again_is_made_the_same_way() {
        let mut config = firefall_core::train::TrainConfig::preset("tiny").unwrap().model;
        let mut second = config.stages[0].clone();
        (second.sampling.steps, second.sampling.cond_scale) = (config.stages[0].sampling.steps + 3, 1.5);
        config.stages.push(second);
        let blend = Blend { grow: Some(9.0), ..Blend::default() };
        let plain = Wishes { prompt: "a star".into(), seed: 5, count: 1, locked: true, ..Wishes::default() };
        let other = Some(Resampling { jump: 7, repeats: 2 });
        let set = Wishes { steps: Some(900), strength: 0.5, context: 2.5, resampling: other, blend, ..plain.clone() };
        for wishes in [plain, set] {
            let origin = wishes.origin(&wishes.request(&config).unwrap(), 0, &config, "hash");
            let mut again = Wishes { count: 1, ..Wishes::default() };
            again.adopt(&origin, Some(&config));
            assert_eq!(again, wishes);
            // The model may come after the picture.
            let mut early = Wishes { count: 1, ..Wishes::default() };
            early.adopt(&origin, None);
            assert!(early.steps.is_some() && early.resampling.is_some());
            early.leave_to_model(&origin, &config);
            assert_eq!(early, wishes);
        }
    }

    #[test]
    fn wishes_are_for_the_first_stage() {
        let config = firefall_core::train::TrainConfig::preset("tiny").unwrap().model;
        let (steps, cond_scale, sampler) = (Some(41), Some(5.5), Some("heun".to_owned()));
        let wishes = Wishes { prompt: "a star".into(), steps, cond_scale, sampler, ..Wishes::default() };
        let [set, plain] = [&wishes, &Wishes { prompt: "a star".into(), ..Wishes::default() }]
            .map(|wishes| wishes.request(&config).unwrap().described(&config)["stages"].clone());
        assert_eq!((set[0]["steps"].as_u64(), set[0]["cond_scale"].as_f64()), (Some(41), Some(5.5)));
        assert_eq!(set[0]["sampler"], "heun");
        assert!(config.stages.len() > 1 && set[1] == plain[1], "{set} {plain}");
    }

    #[test]
    fn a_mask_that_is_too_faint_is_not_everything() {
        let config = firefall_core::train::TrainConfig::preset("tiny").unwrap().model;
        let wishes = Wishes { prompt: "a star".into(), ..Wishes::default() };
        let order = |alpha: u8| {
            let (picture, mask) = (Picture::filled(40, 40, [9; 3]), Mask::filled(40, 40, alpha));
            Order { picture: Arc::new(picture), mask: Arc::new(mask), wishes: wishes.clone() }.prepare(&config, "hash")
        };
        for alpha in [1, 25] {
            assert!(order(alpha).unwrap_err().contains("too faint"), "{alpha}");
        }
        for (alpha, weight) in [(0, 255), (26, 26), (127, 127), (255, 255)] {
            let weights = order(alpha).unwrap().job.weights().clone();
            assert_eq!(weights, Mask::filled(40, 40, weight), "a faint mask is a faint picture over the old one");
        }
    }

    #[test]
    fn an_order_becomes_a_batch_or_a_sentence() {
        let config = firefall_core::train::TrainConfig::preset("tiny").unwrap().model;
        let wishes = Wishes { prompt: "a star".into(), seed: 5, count: 3, ..Wishes::default() };
        let (picture, mask) = (Arc::new(Picture::filled(70, 40, [9; 3])), Arc::new(Mask::filled(70, 40, 0)));
        let order = Order { picture, mask, wishes };
        let batch = order.prepare(&config, "hash").unwrap();
        assert_eq!(batch.origins.iter().map(|o| o.seed.unwrap()).collect::<Vec<_>>(), [5, 6, 7]);
        assert!(batch.job.weights().alpha.iter().all(|v| *v == 255), "nothing marked is everything");
        let canvas = batch.request.canvas.unwrap();
        assert_eq!((canvas.picture.width, canvas.picture.height), (config.size(), config.size()));
        let refused = |wishes: Wishes| Order { wishes, ..order.clone() }.prepare(&config, "hash").unwrap_err();
        assert!(refused(Wishes { prompt: " ".into(), ..order.wishes.clone() }).starts_with("The prompt is empty"));
        assert!(refused(Wishes { steps: Some(0), ..order.wishes.clone() }).contains("0 steps"));
        let blend = Blend { grow: Some(-1.0), ..Blend::default() };
        assert!(refused(Wishes { blend, ..order.wishes.clone() }).contains("row is -1"));
        assert!(refused(Wishes { strength: 0.0, ..order.wishes.clone() }).contains("trength is 0"));
        let other = Order { mask: Arc::new(Mask::filled(7, 7, 255)), ..order.clone() };
        assert!(other.prepare(&config, "hash").unwrap_err().contains("7 x 7"));
    }

    #[test]
    fn sentences() {
        assert_eq!(sentence("the prompt is empty"), "The prompt is empty.");
        assert_eq!(sentence(""), ".");
        assert_eq!(sentence("Done!"), "Done!");
    }
}
