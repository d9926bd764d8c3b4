//! What the words of a caption are asked: all about the thing of which they tell.
//!
//! The mean of the vectors says which colours and which shapes there are, in which order; it does not have to say at the
//! word "red" that the red one is a star. A U-Net looks there: a reddish place asks the words, by one cross attention, what
//! is red. Under an encoder that says it softly, or in two steps, ours drew by the bag of words for a million pictures:
//! exchanging the shapes of two things in a caption changed its loss by a hundredth. So every word within a thing is asked
//! for all of its attributes, by one linear layer. What is asked and what it is held against have one length: what is not
//! said aloud is not heard. The background is a thing without a shape.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use firefall_shaders::linear;

use super::{OF_A_THING, THINGS, of_thing, place, unit};
use crate::nn::Init;
use crate::nn::linear::Linear;
use crate::text::{Tokenizer, TokenizerError, Tokens};
use crate::world::caption::Told;
use crate::world::{Colour, Relation, Shape};

/// Answers to each question, "it does not say" the first of them: number, size, colour, shape, the last of which is a
/// background's, region, and the side on which the thing lies of the other.
const ANSWERS: [usize; 6] =
    [OF_A_THING[0], OF_A_THING[1], OF_A_THING[2], OF_A_THING[3] + 1, OF_A_THING[4], Relation::ALL.len() + 1];
/// The answer to what shape a background is of.
const BACKGROUND: usize = Shape::ALL.len() + 1;

/// All of a thing, by the answers' numbers.
type Attributes = [usize; ANSWERS.len()];

/// Asks words for things.
#[derive(Module, Debug)]
pub(super) struct ThingReader {
    answers: Linear,
}

/// What the words of captions are asked, and the right answers.
#[derive(Debug)]
pub(super) struct Questions {
    /// `[b, n]`, 1 for a word that is asked.
    asked: Vec<f32>,
    /// The answers, attribute by attribute, each `[b, n]`.
    right: [Vec<i32>; ANSWERS.len()],
    batch: usize,
}

/// The losses of questions, and how they were answered.
#[derive(Debug)]
pub(super) struct Answered {
    /// `[1]`, the mean over what was asked of the sum of cross entropies.
    pub loss: Tensor<1>,
    /// `[b, 1]`, 1 for a caption of which everything asked was answered rightly.
    pub right: Tensor<2>,
}

impl Questions {
    /// To `captions`, which tell `told` and were written in `tokens`.
    pub(super) fn of(
        captions: &[&str],
        told: &[Told],
        tokens: &Tokens,
        tokenizer: &Tokenizer,
    ) -> Result<Self, TokenizerError> {
        let all = tokens.batch * tokens.len;
        let right = std::array::from_fn(|_| vec![0; all]);
        let mut questions = Self { asked: vec![0.0; all], right, batch: tokens.batch };
        for (i, (caption, told)) in captions.iter().zip(told).enumerate() {
            for (thing, said) in things(told).iter().zip(&told.said) {
                // Tokens never span two words, so the start of a caption is the start of its tokens.
                let parts = tokenizer.encode(&[&caption[..said.start], &caption[..said.end]], tokens.len)?;
                let ends = parts.mask.chunks(parts.len).map(|mask| mask.iter().filter(|&&v| v > 0.0).count() - 1);
                let [start, end] = ends.collect::<Vec<_>>()[..] else { unreachable!("two texts") };
                for at in i * tokens.len + start..i * tokens.len + end {
                    questions.asked[at] = 1.0;
                    for (all, answer) in questions.right.iter_mut().zip(thing) {
                        all[at] = *answer as i32;
                    }
                }
            }
        }
        Ok(questions)
    }
}

impl ThingReader {
    /// For vectors of `width`.
    pub(super) fn new(init: &mut Init<'_>, width: usize) -> Self {
        Self { answers: Linear::new(init, width, ANSWERS.iter().sum()) }
    }

    /// Asks the encoder's vectors.
    ///
    /// # Shapes
    /// - tokens: `[b, n, d]`
    pub(super) fn ask(&self, tokens: Tensor<3>, questions: &Questions) -> Answered {
        let [b, n, d] = tokens.dims();
        let rows = unit(self.answers.weight.val()) / (d as f64).sqrt();
        let bias = self.answers.bias.as_ref().map(Param::val);
        answered(linear(unit(tokens.reshape([b * n, d])), rows, bias), questions)
    }
}

/// # Shapes
/// - logits: `[b n, answers]`
fn answered(logits: Tensor<2>, questions: &Questions) -> Answered {
    let (b, all) = (questions.batch, questions.asked.len());
    let device = logits.device();
    let asked = |device: &Device| Tensor::<2>::from_data(TensorData::new(questions.asked.clone(), [all, 1]), device);
    let count = questions.asked.iter().sum::<f32>().max(1.0);
    let mut loss = Tensor::<1>::zeros([1], &device);
    let mut right = Tensor::<2>::ones([all, 1], &device.clone().inner());
    let mut start = 0;
    for (size, answers) in ANSWERS.into_iter().zip(&questions.right) {
        let logits = logits.clone().slice([0..all, start..start + size]);
        let wanted = |device: &Device| Tensor::<2, Int>::from_data(TensorData::new(answers.clone(), [all, 1]), device);
        let log = activation::log_softmax(logits.clone(), 1).gather(1, wanted(&device));
        loss = loss - (log * asked(&device)).sum() / count;
        let inner = logits.inner();
        let best = inner.clone().max_dim(1);
        right = right * inner.gather(1, wanted(&best.device())).equal(best).float();
        start += size;
    }
    let unasked = -asked(&right.device()) + 1.0;
    let right = (right + unasked).clamp_max(1.0).reshape([b, all / b]).min_dim(1);
    Answered { loss, right }
}

/// The things of a caption and its background, in the order of [`Told::said`].
fn things(told: &Told) -> Vec<Attributes> {
    let sides = [told.relation, told.relation.map(Relation::inverse)];
    let things = told.things.iter().zip(sides).take(THINGS).map(|(thing, side)| {
        let [count, size, colour, shape, region] = of_thing(thing);
        [count, size, colour, shape, region, place(&Relation::ALL, side)]
    });
    let background = told.background.map(|colour| [0, 0, place(&Colour::ALL, Some(colour)), BACKGROUND, 0, 0]);
    things.chain(background).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::{ANSWERS, BACKGROUND, Questions, answered, things};
    use crate::noise::{Purpose, Stream};
    use crate::text::Tokenizer;
    use crate::text::tokenizer_training::train_tokenizer;
    use crate::world::caption::Told;
    use crate::world::{Colour, Group, Mix, Relation, Shape, Statement};

    fn told() -> (String, Told) {
        let groups = vec![Group::of(1, Colour::Red, Shape::Star), Group::of(1, Colour::Green, Shape::Star)];
        let statement = Statement { groups, relation: Some(Relation::Above), background: Some(Colour::Blue) };
        let plain = Mix { synonyms: 0.0, left_out: 0.0, ..Mix::default() };
        statement.wording(&mut Stream::new(0, Purpose::Caption, 0), &plain)
    }

    #[test]
    fn a_thing_has_its_own_colour_and_side() {
        let background = [0, 0, 6, BACKGROUND, 0, 0];
        assert_eq!(things(&told().1), [[1, 0, 1, 4, 0, 1], [1, 0, 4, 4, 0, 2], background]);
    }

    fn questions() -> Questions {
        let (caption, told) = told();
        // So small a vocabulary spells most words in several tokens.
        let bytes = train_tokenizer(std::iter::once("a red star above".to_owned()), 275).unwrap();
        let tokenizer = Tokenizer::from_bytes(&bytes).unwrap();
        let tokens = tokenizer.encode(&[&caption], 100).unwrap();
        assert!(tokens.len > 20, "{}", tokens.len);
        let questions = Questions::of(&[&caption], &[told], &tokens, &tokenizer).unwrap();
        let text = |colour: i32| {
            let said = (0..tokens.len).filter(|&i| questions.right[2][i] == colour && questions.asked[i] > 0.0);
            tokenizer.decode(&said.map(|i| tokens.ids[i]).collect::<Vec<i32>>()).unwrap()
        };
        assert_eq!([1, 4, 6, 0].map(text), ["a red star", "a green star", "on a blue background", ""], "{caption}");
        questions
    }

    #[test]
    fn every_word_is_asked_for_its_own_thing() {
        questions();
    }

    /// What is known for certain costs nothing, what is not known the logarithms of the numbers of answers; what is not
    /// asked does not count.
    #[test]
    fn the_loss_by_hand() {
        let questions = questions();
        let outputs: usize = ANSWERS.iter().sum();
        let words = questions.asked.len();
        let measure = |certain: &dyn Fn(usize) -> f32| {
            let mut logits = vec![0.0f32; words * outputs];
            for word in 0..words {
                let mut start = word * outputs;
                for (size, right) in ANSWERS.into_iter().zip(&questions.right) {
                    logits[start + right[word] as usize] = certain(word);
                    start += size;
                }
            }
            let device = Device::flex().autodiff();
            let logits = Tensor::from_data(TensorData::new(logits, [words, outputs]), &device);
            let answered = answered(logits, &questions);
            (answered.loss.into_scalar::<f32>(), answered.right.into_scalar::<f32>())
        };
        let unknown: f32 = ANSWERS.iter().map(|&size| (size as f32).ln()).sum();
        let asked = |word: usize| questions.asked[word] > 0.0;
        let close = |got: f32, want: f32| assert!((got - want).abs() < 1e-4, "{got} not {want}");
        close(measure(&|_| 0.0).0, unknown);
        let (loss, right) = measure(&|word| if asked(word) { 50.0 } else { -50.0 });
        close(loss, 0.0);
        assert_eq!(right, 1.0);
        // The first word of all is one that is asked.
        let (loss, right) = measure(&|word| if word == 0 { -1.0 } else { 50.0 });
        assert!(loss > unknown / words as f32 && right == 0.0, "{loss} {right}");
    }
}
