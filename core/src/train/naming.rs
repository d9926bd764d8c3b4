//! A second loss, which asks a network at each place of its coarsest map what will be seen there.
//!
//! Whose shape is whose is worth little to the first loss: as long as a star and a circle are both in the picture, the one
//! at the reddish place may be either, and a network that draws the mean of the two until it sees a form in the noise is
//! but a few hundredths worse than one that looks the red one up in the caption. Ours did the former for a million
//! pictures. To be asked for the name costs it a bit at each place, at once. One linear layer answers, for the shape and
//! the colour, and is thrown away after the training.
//!
//! Pictures count alike; within one, places within an object's circle count ten times as much as those of the background,
//! which are many.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, activation};
use firefall_shaders::linear;

use crate::nn::Init;
use crate::nn::linear::Linear;
use crate::nn::transformer::to_tokens;
use crate::world::{Colour, Scene, Shape};

/// Answers: no shape or one, and the colour of the object or the background.
const ANSWERS: [usize; 2] = [1 + Shape::ALL.len(), Colour::ALL.len()];
/// How much a place of the background counts.
const BACKGROUND: f32 = 0.1;

/// Answers what is where.
#[derive(Module, Debug)]
pub struct Namer {
    answers: Linear,
}

impl Namer {
    /// For maps of `width` channels.
    pub fn new(init: &mut Init<'_>, width: usize) -> Self {
        Self { answers: Linear::new(init, width, ANSWERS.iter().sum()) }
    }

    /// The mean over pictures of the mean over places, by their weights, of both cross entropies.
    ///
    /// # Shapes
    /// - map: `[b, c, h, w]`, of the pictures of `scenes`
    /// - output: `[1]`
    #[must_use]
    pub fn loss(&self, map: Tensor<4>, scenes: &[Scene]) -> Tensor<1> {
        let [b, c, h, w] = map.dims();
        let places = to_tokens(map).reshape([b * h * w, c]);
        let logits = linear(places, self.answers.weight.val(), self.answers.bias.as_ref().map(Param::val));
        mean(logits, &names(scenes, [h, w]))
    }
}

/// What is at each place of a batch, row by row.
#[derive(Debug, Clone, PartialEq)]
struct Names {
    shapes: Vec<i32>,
    colours: Vec<i32>,
    /// Their sum over the batch is 1.
    weights: Vec<f32>,
}

/// # Shapes
/// - logits: `[places, answers]`
fn mean(logits: Tensor<2>, names: &Names) -> Tensor<1> {
    let places = names.weights.len();
    let device = logits.device();
    let weights = Tensor::<2>::from_data(TensorData::new(names.weights.clone(), [places, 1]), &device);
    let [shapes, _] = ANSWERS;
    let of = |start: usize, end: usize, right: &Vec<i32>| {
        let right = Tensor::from_data(TensorData::new(right.clone(), [places, 1]), &device);
        let logits = logits.clone().slice([0..places, start..end]);
        (activation::log_softmax(logits, 1).gather(1, right) * weights.clone()).sum()
    };
    -(of(0, shapes, &names.shapes) + of(shapes, ANSWERS.iter().sum(), &names.colours))
}

fn names(scenes: &[Scene], [h, w]: [usize; 2]) -> Names {
    let mut names = Names { shapes: Vec::new(), colours: Vec::new(), weights: Vec::new() };
    let number = |all: usize| all as i32;
    for scene in scenes {
        for place in 0..h * w {
            let (x, y) = ((place % w) as f64 + 0.5, (place / w) as f64 + 0.5);
            let (x, y) = (x / w as f64, y / h as f64);
            let here = scene.objects.iter().find(|object| {
                let [cx, cy] = object.centre;
                (x - cx).hypot(y - cy) < object.diameter / 2.0
            });
            let shape = here.and_then(|object| Shape::ALL.iter().position(|shape| *shape == object.shape));
            let colour = here.map_or(scene.background, |object| object.colour);
            names.shapes.push(number(shape.map_or(0, |i| i + 1)));
            names.colours.push(number(Colour::ALL.iter().position(|other| *other == colour).unwrap_or(0)));
            names.weights.push(if here.is_some() { 1.0 } else { BACKGROUND });
        }
        let start = names.weights.len() - h * w;
        let share = 1.0 / (names.weights[start..].iter().sum::<f32>() * scenes.len() as f32);
        names.weights[start..].iter_mut().for_each(|weight| *weight *= share);
    }
    names
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::{ANSWERS, mean, names};
    use crate::world::{Colour, Object, Scene, Shape};

    fn scene() -> Scene {
        let star = Object {
            shape: Shape::Star,
            colour: Colour::Red,
            centre: [0.25, 0.625],
            diameter: 0.4,
            angle_degrees: 0.0,
            font: Default::default(),
        };
        Scene { background: Colour::White, objects: vec![star] }
    }

    #[test]
    fn names_by_hand() {
        // Places of 0.25 by 0.5: the circle of radius 0.2 holds the centres (0.125, 0.75) and (0.375, 0.75).
        let names = names(&[scene()], [2, 4]);
        assert_eq!(names.shapes, [0, 0, 0, 0, 4, 4, 0, 0]);
        assert_eq!(names.colours, [10, 10, 10, 10, 0, 0, 10, 10]);
        let weights = [0.1, 0.1, 0.1, 0.1, 1.0, 1.0, 0.1, 0.1].map(|weight| weight / 2.6);
        assert!(names.weights.iter().zip(weights).all(|(a, b)| (a - b).abs() < 1e-6), "{:?}", names.weights);
    }

    /// What is known for certain costs nothing, what is not known the logarithms of the numbers of answers; a place of the
    /// background costs a tenth.
    #[test]
    fn the_loss_by_hand() {
        let names = names(&[scene()], [2, 4]);
        let outputs: usize = ANSWERS.iter().sum();
        let measure = |certain: &dyn Fn(usize) -> f32| {
            let mut logits = vec![0.0f32; 8 * outputs];
            for place in 0..8 {
                logits[place * outputs + names.shapes[place] as usize] = certain(place);
                logits[place * outputs + ANSWERS[0] + names.colours[place] as usize] = certain(place);
            }
            let logits = Tensor::from_data(TensorData::new(logits, [8, outputs]), &Device::flex().autodiff());
            mean(logits, &names).into_scalar::<f32>()
        };
        let unknown: f32 = ANSWERS.iter().map(|&size| (size as f32).ln()).sum();
        let close = |got: f32, want: f32| assert!((got - want).abs() < 1e-4, "{got} not {want}");
        close(measure(&|_| 0.0), unknown);
        close(measure(&|_| 50.0), 0.0);
        close(measure(&|place| if place == 4 { 0.0 } else { 50.0 }), unknown / 2.6);
        close(measure(&|place| if place == 0 { 0.0 } else { 50.0 }), unknown * 0.1 / 2.6);
    }
}
