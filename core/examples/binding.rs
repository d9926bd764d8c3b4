//! Whether a base network looks up in the caption whose shape is whose.
//!
//! Pictures of two objects on white are noised, and denoised under their own captions and under others: without a caption,
//! with the shapes of the two exchanged, with two other shapes, with two other colours. The table says by what share the
//! loss grows. A network that takes captions for bags of words does not mind the exchange.
//!
//! ```text
//! cargo run --release -p firefall-core --features native,png,train --example binding -- assets/model [pictures]
//! ```

#![allow(clippy::print_stdout, reason = "a table for people")]

use std::error::Error;

use burn::tensor::{Device, Tensor, TensorData};
use firefall_core::cascade::Model;
use firefall_core::diffusion::Level;
use firefall_core::noise::{Purpose, Stream};
use firefall_core::unet::condition::{Conditioning, TextInput};
use firefall_core::world::{Colour, Group, Scene, Shape, Statement, render};

/// Noise levels, as sigma.
const SIGMAS: [f64; 6] = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0];
/// What is compared with a picture's own caption.
const CAPTIONS: [&str; 4] = ["none", "shapes exchanged", "other shapes", "other colours"];
/// Pictures at a time.
const BATCH: usize = 32;

/// A scene of two; its own caption, and for each of [`CAPTIONS`] another, of which the first is not heard.
struct Pair {
    scene: Scene,
    captions: [String; 1 + CAPTIONS.len()],
}

/// Any four that differ.
fn four<T: Copy + PartialEq>(stream: &mut Stream, all: &[T]) -> [T; 4] {
    let mut rest = all.to_vec();
    std::array::from_fn(|_| rest.swap_remove(stream.below(rest.len())))
}

fn pair(stream: &mut Stream) -> Pair {
    let colours: Vec<Colour> = Colour::ALL.into_iter().filter(|&colour| colour != Colour::White).collect();
    loop {
        let ([a, b, c, d], [s, t, u, v]) = (four(stream, &colours), four(stream, Shape::figures()));
        let says = |one, two, background| {
            let groups = [one, two].map(|(colour, shape)| Group::of(1, colour, shape)).to_vec();
            Statement { groups, relation: None, background }
        };
        let Ok(scene) = says((a, s), (b, t), Some(Colour::White)).scene(stream) else { continue };
        let own = ((a, s), (b, t));
        let captions = [own, own, ((a, t), (b, s)), ((a, u), (b, v)), ((c, s), (d, t))];
        return Pair { scene, captions: captions.map(|(one, two)| says(one, two, None).plain()) };
    }
}

/// The loss of as many pictures as there are pairs, under each caption.
fn losses(model: &Model, sigma: f64, number: u64) -> Result<[f64; 1 + CAPTIONS.len()], Box<dyn Error>> {
    let (stage, device) = (&model.stages[0], &model.device);
    let stream = &mut Stream::new(0, Purpose::Evaluation, number);
    let pairs: Vec<Pair> = (0..BATCH).map(|_| pair(stream)).collect();
    let level = Level::variance_exploding(sigma);
    let (scalings, target) = (stage.config.process.scalings(level), stage.config.process.target(level));
    let side = stage.config.size;
    let x0: Vec<f32> = pairs.iter().flat_map(|pair| render(&pair.scene, side).planes()).collect();
    let eps = stream.normals(x0.len());
    let mixed = |(on_x0, on_eps): (f64, f64)| {
        let values = x0.iter().zip(&eps).map(|(x0, eps)| on_x0 as f32 * x0 + on_eps as f32 * eps).collect();
        Tensor::<4>::from_data(TensorData::new(values, [BATCH, 3, side, side]), device)
    };
    let input = mixed((scalings.c_in * level.alpha, scalings.c_in * level.sigma));
    let mut losses = [0.0; 1 + CAPTIONS.len()];
    for (i, loss) in losses.iter_mut().enumerate() {
        let captions: Vec<&str> = pairs.iter().map(|pair| pair.captions[i].as_str()).collect();
        let text = model.text.encode(&captions, device)?.embedding;
        let keep = Tensor::full([BATCH], if i == 1 { 0.0 } else { 1.0 }, device);
        let text = Some(TextInput { tokens: text.tokens, mask: text.mask, keep });
        let seen = Tensor::full([BATCH], scalings.c_noise as f32, device);
        let output = stage.unet.forward(input.clone(), seen, &Conditioning { text, ..Conditioning::default() });
        *loss = f64::from((output - mixed(target)).square().mean().into_scalar::<f32>());
    }
    Ok(losses)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: binding MODEL [PICTURES]")?;
    let pictures: usize = arguments.next().map_or(Ok(512), |n| n.parse())?;
    let model = Model::load(|file| std::fs::read(format!("{folder}/{file}")), &Device::flex())?;
    println!("{:>6} {:>9}  {}", "sigma", "loss", CAPTIONS.map(|name| format!("{name:>9}")).join("  "));
    for sigma in SIGMAS {
        let batches = pictures.div_ceil(BATCH).max(1);
        let mut sums = [0.0; 1 + CAPTIONS.len()];
        for number in 0..batches {
            let losses = losses(&model, sigma, number as u64)?;
            sums.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss / batches as f64);
        }
        let [own, others @ ..] = sums;
        let cells = CAPTIONS
            .iter()
            .zip(others)
            .map(|(name, loss)| format!("{:>+width$.1} %", 100.0 * (loss / own - 1.0), width = name.len().max(9) - 2));
        println!("{sigma:>6} {own:>9.5}  {}", cells.collect::<Vec<_>>().join("  "));
    }
    Ok(())
}
