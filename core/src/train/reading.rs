//! A text encoder learns to read before anything is drawn: from its vectors alone, what a caption tells.
//!
//! A picture tells little of whose a colour is: the loss of "a red star on a blue background" hardly differs from that of
//! its opposite until forms are there, and encoders trained through pictures alone stayed bags of words in our runs.
//! (Imagen's encoder comes from a corpus of text, which is no part of this world.) So one linear layer, which is thrown
//! away later, is asked everything that a caption can tell, from the mean of the encoder's vectors: how many there are of
//! the first thing, of which size, colour and shape, where, the same of the second, how they lie to each other, and the
//! background. To each question "it does not say" is an answer. The loss is the sum of the questions' cross entropies. And
//! because a network looks at words, each is asked as well what it is part of ([`things`]).
//!
//! The mean is brought to one length, and so is what it is held against for each answer: no answer can be made certain by
//! listening hard to a whisper. Else places, which are rarely told, have a small share of the vectors (a seventh of what
//! colours have), and a network that draws by them does not hear them for a long time.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use firefall_shaders::linear;
use serde::{Deserialize, Serialize};

mod things;

use self::things::{Questions, ThingReader};
use super::config::MOST_PICTURES;
use super::optim::{OptimConfig, Optimizer, clip};
use super::params::{Flat, Graph, gradients, replace, values};
use super::parts::Parts;
use super::trainer::{Words, rule};
use crate::nn::Init;
use crate::nn::linear::Linear;
use crate::noise::{Purpose, Stream};
use crate::text::{T5Config, T5Encoder, TokenizerError};
use crate::weights::named;
use crate::world::caption::{Thing, Told};
use crate::world::scene::MOST_OBJECTS;
use crate::world::{Colour, Mix, Region, Relation, Shape, Size, draw};

/// Things that a caption may tell of.
const THINGS: usize = 2;
/// Answers to each question about a thing, "it does not say" among them: number, size, colour, shape, region.
const OF_A_THING: [usize; 5] =
    [MOST_OBJECTS + 1, Size::ALL.len() + 1, Colour::ALL.len() + 1, Shape::ALL.len() + 1, Region::ALL.len() + 1];
/// Answers to the questions about the whole: relation, background.
const OF_THE_WHOLE: [usize; 2] = [Relation::ALL.len() + 1, Colour::ALL.len() + 1];
/// Questions about a caption.
const QUESTIONS: usize = THINGS * OF_A_THING.len() + OF_THE_WHOLE.len();

/// How long an encoder reads before it sees pictures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Steps, by the optimiser of the first stage at its full rate.
    pub steps: u64,
    /// Captions in a step.
    pub batch: usize,
    /// With a fresh encoder, also where a run begins with a model that has one.
    #[serde(default)]
    pub anew: bool,
}

impl Reading {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(&self) -> Result<(), String> {
        match (self.steps, self.batch) {
            (0, _) | (_, 0) => Err("steps and batch must be at least 1".into()),
            (_, batch) if batch > MOST_PICTURES => {
                Err(format!("batch is {batch}; it must be at most {}", MOST_PICTURES))
            }
            _ => Ok(()),
        }
    }
}

/// The encoder, and what asks it.
#[derive(Module, Debug)]
pub struct Reader {
    /// The encoder.
    pub t5: T5Encoder,
    answers: Linear,
    things: ThingReader,
}

/// What a [`Reader`] makes of captions.
#[derive(Debug)]
pub struct Heard {
    /// `[b, answers]`, the logits of all answers, question by question.
    pub logits: Tensor<2>,
    /// `[b, n, d]`, the encoder's vectors.
    pub tokens: Tensor<3>,
}

impl Reader {
    /// Asks `t5`, whose vectors are of `config`'s width, or a fresh one.
    #[must_use]
    pub fn new(seed: u64, config: &T5Config, t5: Option<T5Encoder>, device: &Device) -> Self {
        let mut init = Init::seeded(device, seed);
        let fresh = T5Encoder::new(&mut init, config);
        let outputs = sizes().iter().sum();
        let answers = Linear::new(&mut init, config.d_model, outputs);
        Self { t5: t5.unwrap_or(fresh), answers, things: ThingReader::new(&mut init, config.d_model) }
    }

    /// Reads.
    ///
    /// # Shapes
    /// - ids, mask: `[b, n]`
    pub fn forward(&self, ids: Tensor<2, Int>, mask: Tensor<2>) -> Heard {
        let tokens = self.t5.forward(ids, mask.clone());
        let [b, _, d] = tokens.dims();
        let mean = tokens.clone().sum_dim(1).reshape([b, d]) / mask.sum_dim(1);
        let rows = unit(self.answers.weight.val()) / (d as f64).sqrt();
        let logits = linear(unit(mean), rows, self.answers.bias.as_ref().map(Param::val));
        Heard { logits, tokens }
    }
}

/// Each row with a mean square of 1.
fn unit(rows: Tensor<2>) -> Tensor<2> {
    rows.clone() / (rows.clone() * rows).mean_dim(1).add_scalar(1e-6).sqrt()
}

/// An encoder learning to read.
#[derive(Debug)]
pub struct ReadingTrainer {
    reader: Reader,
    optimizer: Optimizer,
    optim: OptimConfig,
    reading: Reading,
    /// Steps done.
    pub step: u64,
    device: Device,
    parts: Parts,
}

/// What a step measured.
#[derive(Debug, Clone)]
pub struct Read {
    /// `[1]`, the mean loss of the captions.
    pub loss: Tensor<1>,
    /// `[1]`, the share of captions of which every question was answered rightly.
    pub right: Tensor<1>,
}

impl ReadingTrainer {
    /// Before the first step.
    #[must_use]
    pub fn new(reader: Reader, reading: Reading, optim: OptimConfig, device: &Device) -> Self {
        let rules = named(&reader).iter().map(|p| rule(optim.method, &p.path, &p.shape)).collect();
        let params = values(&reader);
        let optimizer = Optimizer::new(&params, rules);
        let reader = replace(reader, params, Graph::None);
        // Here nothing but the encoder is trained: it has the whole rate.
        let optim = OptimConfig { text_share: 1.0, ..optim };
        Self { reader, optimizer, optim, reading, step: 0, device: device.clone(), parts: Parts::new(device) }
    }

    /// The encoder as it is, outside any graph.
    #[must_use]
    pub fn encoder(&self) -> T5Encoder {
        self.reader.t5.clone()
    }

    /// One step on captions of all kinds, which depend on the seed, the step and their number alone.
    ///
    /// # Errors
    /// If a caption cannot be written in tokens.
    pub fn step(&mut self, seed: u64, words: &Words) -> Result<Read, TokenizerError> {
        let batch = self.reading.batch;
        let params = values(&self.reader);
        let parts = self.parts.map(batch, batch.div_ceil(2), |range| {
            let reader = replace(self.reader.clone(), params.clone(), Graph::Tracked);
            let share = range.len() as f32 / batch as f32;
            let numbers = range.map(|i| self.step * batch as u64 + i as u64);
            let (loss, right) = asked(&reader, seed, numbers, words, &self.device)?;
            let loss = loss * share;
            let grads = gradients(&reader, loss.backward());
            Ok((grads, Read { loss: loss.inner(), right: right * share }))
        });
        let parts = parts.into_iter().collect::<Result<Vec<_>, TokenizerError>>()?;
        let sum = parts.into_iter().reduce(|(grads, read), (more, also)| {
            let grads: Flat = grads.into_iter().zip(more).map(|(a, b)| a + b).collect();
            (grads, Read { loss: read.loss + also.loss, right: read.right + also.right })
        });
        let Some((grads, read)) = sum else { unreachable!("a batch has at least one caption") };
        let (grads, _) = clip(grads, self.optim.clip_norm);
        let rate = self.optim.rate(self.step, self.reading.steps);
        let params = self.optimizer.step(&self.optim, rate, params, grads);
        self.reader = replace(self.reader.clone(), params, Graph::None);
        self.step += 1;
        Ok(read)
    }
}

/// The mean loss of captions by their numbers, and the share that was read without a fault.
fn asked(
    reader: &Reader,
    seed: u64,
    numbers: impl Iterator<Item = u64>,
    words: &Words,
    device: &Device,
) -> Result<(Tensor<1>, Tensor<1>), TokenizerError> {
    let samples = numbers.map(|number| draw(&mut Stream::new(seed, Purpose::Reading, number), &Mix::default()));
    let (captions, told): (Vec<_>, Vec<_>) = samples.map(|sample| (sample.caption, sample.told)).unzip();
    let captions: Vec<&str> = captions.iter().map(String::as_str).collect();
    let tokens = words.tokenizer.encode(&captions, words.max_len)?;
    let (ids, mask) = tokens.tensors(&device.clone().autodiff());
    let questions = Questions::of(&captions, &told, &tokens, &words.tokenizer)?;
    let heard = reader.forward(ids, mask);
    let (loss, right) = losses(heard.logits, &told.iter().map(answers).collect::<Vec<_>>());
    let of_things = reader.things.ask(heard.tokens, &questions);
    Ok((loss + of_things.loss, (right * of_things.right).mean()))
}

/// The mean over captions of the sum of cross entropies, and `[b, 1]`, 1 for a caption without a wrong answer.
fn losses(logits: Tensor<2>, told: &[[usize; QUESTIONS]]) -> (Tensor<1>, Tensor<2>) {
    let b = told.len();
    let device = logits.device();
    let mut loss = Tensor::<1>::zeros([1], &device);
    let mut right = Tensor::<2>::ones([b, 1], &device.clone().inner());
    let mut start = 0;
    for (question, size) in sizes().into_iter().enumerate() {
        let of_question = logits.clone().slice([0..b, start..start + size]);
        let ids: Vec<i32> = told.iter().map(|answers| answers[question] as i32).collect();
        let wanted = |device: &Device| Tensor::<2, Int>::from_data(TensorData::new(ids.clone(), [b, 1]), device);
        let log = activation::log_softmax(of_question.clone(), 1).gather(1, wanted(&device));
        loss = loss - log.mean();
        let inner = of_question.inner();
        let best = inner.clone().max_dim(1);
        let said = inner.gather(1, wanted(&best.device()));
        right = right * said.equal(best).float();
        start += size;
    }
    (loss, right)
}

/// Answers to each question.
fn sizes() -> [usize; QUESTIONS] {
    std::array::from_fn(|i| match i.checked_sub(THINGS * OF_A_THING.len()) {
        None => OF_A_THING[i % OF_A_THING.len()],
        Some(i) => OF_THE_WHOLE[i],
    })
}

/// The right answers, 0 where it does not say.
fn answers(told: &Told) -> [usize; QUESTIONS] {
    let things = (0..THINGS).flat_map(|i| told.things.get(i).map_or([0; OF_A_THING.len()], of_thing));
    let whole = [place(&Relation::ALL, told.relation), place(&Colour::ALL, told.background)];
    let mut all = things.chain(whole);
    std::array::from_fn(|_| all.next().unwrap_or_default())
}

fn of_thing(thing: &Thing) -> [usize; OF_A_THING.len()] {
    [
        thing.count.min(MOST_OBJECTS),
        place(&Size::ALL, thing.size),
        place(&Colour::ALL, thing.colour),
        place(&Shape::ALL, Some(thing.shape)),
        place(&Region::ALL, thing.region),
    ]
}

/// Where it stands among all, from 1; 0 if there is none.
fn place<T: PartialEq>(all: &[T], one: Option<T>) -> usize {
    one.and_then(|one| all.iter().position(|other| *other == one)).map_or(0, |i| i + 1)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::{QUESTIONS, answers, losses, sizes};
    use crate::noise::{Purpose, Stream};
    use crate::world::{Colour, Mix, Shape, Statement, draw};

    #[test]
    fn answers_by_hand() {
        let stream = &mut Stream::new(0, Purpose::Caption, 0);
        let plain = Mix { synonyms: 0.0, left_out: 0.0, ..Mix::default() };
        let statement = Statement { background: Some(Colour::Blue), ..Statement::single(Colour::Red, Shape::Star) };
        let told = statement.wording(stream, &plain).1;
        // One, no size, the first colour, the fourth shape, no place; no second; no relation, the sixth colour.
        assert_eq!(answers(&told), [1, 0, 1, 4, 0, 0, 0, 0, 0, 0, 0, 6]);
    }

    #[test]
    fn every_answer_exists() {
        for i in 0..2000 {
            let told = draw(&mut Stream::new(3, Purpose::Reading, i), &Mix::default()).told;
            assert!(answers(&told).iter().zip(sizes()).all(|(answer, size)| *answer < size), "{told:?}");
        }
    }

    /// A caption that is read for certain costs nothing; one of which nothing is known costs the logarithms of the numbers
    /// of answers.
    #[test]
    fn the_loss_by_hand() {
        let told = [[1, 0, 1, 4, 0, 0, 0, 0, 0, 0, 0, 6], [0; QUESTIONS]];
        let outputs: usize = sizes().iter().sum();
        let mut logits = vec![0.0f32; 2 * outputs];
        let mut start = 0;
        for (answer, size) in told[0].into_iter().zip(sizes()) {
            logits[start + answer] = 50.0;
            start += size;
        }
        let measure = |rows: std::ops::Range<usize>| {
            let values = logits[rows.start * outputs..rows.end * outputs].to_vec();
            let device = Device::flex().autodiff();
            let logits = Tensor::from_data(TensorData::new(values, [rows.len(), outputs]), &device);
            let (loss, right) = losses(logits, &told[rows]);
            (loss.into_scalar::<f32>(), right.mean().into_scalar::<f32>())
        };
        let unknown: f32 = sizes().iter().map(|&size| (size as f32).ln()).sum();
        let close = |got: f32, want: f32| assert!((got - want).abs() < 1e-4, "{got} not {want}");
        close(measure(0..1).0, 0.0);
        close(measure(1..2).0, unknown);
        close(measure(0..2).0, unknown / 2.0);
        assert_eq!(measure(0..1).1, 1.0);
    }
}
