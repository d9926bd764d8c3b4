//! A batch: pictures, drawn or from a folder, noised, with what the network should say.

use super::config::StageTraining;
use super::known;
use super::pictures::Pictures;
use crate::cascade::{StageConfig, lowres};
use crate::diffusion::Level;
use crate::noise::{Purpose, Stream};
use crate::world::{Scene, draw, draw_digit, render};

/// Part of a batch, on the CPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    /// How many.
    pub count: usize,
    /// Side of the squares.
    pub side: usize,
    /// `[count, 3, side, side]`, `c_in * x_t`.
    pub input: Vec<f32>,
    /// `[count, 3, side, side]`, what the network's output should be.
    pub target: Vec<f32>,
    /// `[count]`, the level as the network sees it.
    pub c_noise: Vec<f32>,
    /// `[count]`, the factor of each loss.
    pub weight: Vec<f32>,
    /// `[count]`, the level as log-SNR.
    pub log_snr: Vec<f32>,
    /// What is said of each.
    pub captions: Vec<String>,
    /// `[count]`, 0 where the caption is dropped.
    pub keep: Vec<f32>,
    /// The smaller pictures, for a stage that has them.
    pub lowres: Option<SmallPictures>,
    /// `[count, 4, side, side]`, for a stage that is told what is known: the known pixels, zeros elsewhere, and which they
    /// are.
    pub known: Option<Vec<f32>>,
    /// The scenes, if they are of the shapes world.
    pub scenes: Vec<Scene>,
    /// The step of the run.
    pub step: u64,
}

/// The smaller pictures of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct SmallPictures {
    /// `[count, 3, side, side]`, enlarged and noised.
    pub image: Vec<f32>,
    /// `[count]`, their log-SNR.
    pub level: Vec<f32>,
    /// What they were cut from, if some are to be [drawn again](super::draft).
    pub whole: Option<Whole>,
}

/// Smaller pictures as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// `[count, 3, below, below]`, before they are cut, enlarged and noised.
    pub image: Vec<f32>,
    /// `[count]`, column and row of the squares that are cut out of them.
    pub corners: Vec<[usize; 2]>,
    /// `[count]`, what they are multiplied by when they are noised.
    pub alphas: Vec<f32>,
    /// How many times they are enlarged.
    pub factor: usize,
    /// `[count]`, the numbers of the examples.
    pub numbers: Vec<u64>,
}

/// Examples `first..first + count` of the run's `step`. Each depends on the run's seed, the stage and its own number
/// alone, so a run that was stopped goes on with what it would have seen.
#[must_use]
pub fn examples(seed: u64, stage: &Place<'_>, step: u64, range: std::ops::Range<usize>) -> Examples {
    let side = stage.training.crop.unwrap_or(stage.config.size);
    let whole = |below: usize| Whole {
        image: Vec::new(),
        corners: Vec::new(),
        alphas: Vec::new(),
        factor: stage.config.size / below,
        numbers: Vec::new(),
    };
    let small = |below: usize| SmallPictures {
        image: Vec::new(),
        level: Vec::new(),
        whole: stage.training.drafts.map(|_| whole(below)),
    };
    let mut batch = Examples {
        count: range.len(),
        side,
        input: Vec::new(),
        target: Vec::new(),
        c_noise: Vec::new(),
        weight: Vec::new(),
        log_snr: Vec::new(),
        captions: Vec::new(),
        keep: Vec::new(),
        lowres: stage.below.map(small),
        known: (stage.config.unet.cond_images_channels > 0).then(Vec::new),
        scenes: Vec::new(),
        step,
    };
    for i in range {
        let number = ((stage.index as u64) << 56) | (step * stage.training.batch as u64 + i as u64);
        add(&mut batch, seed, stage, step, number);
    }
    batch
}

/// Which stage, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// From 0.
    pub index: usize,
    /// The stage.
    pub config: &'a StageConfig,
    /// Its training.
    pub training: &'a StageTraining,
    /// Side of the pictures of the stage before.
    pub below: Option<usize>,
    /// What to learn from.
    pub source: Source<'a>,
}

/// What draws pictures and captions.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// The shapes world, by the mix of the stage's phase.
    Shapes,
    /// Its digits, as MNIST has them.
    Digits,
    /// Pictures that there are.
    Pictures(&'a Pictures),
}

fn add(batch: &mut Examples, seed: u64, stage: &Place<'_>, step: u64, number: u64) {
    let (full, caption, scene) = picture(&mut Stream::new(seed, Purpose::Scene, number), stage, step);
    let mut stream = Stream::new(seed, Purpose::Training, number);
    let (size, side) = (stage.config.size, batch.side);

    // A square on the grid of the smaller picture, so that both can be cut alike.
    let factor = stage.below.map_or(1, |below| size / below);
    let corner = [(); 2].map(|()| factor * stream.below((size - side) / factor + 1));
    let x0 = cut(&full, size, corner, side);

    let process = &stage.config.process;
    let level = process.training_level(&mut stream);
    let (scalings, (a, b)) = (process.scalings(level), process.target(level));
    let Level { alpha, sigma } = level;
    let eps = stream.normals(x0.len());
    let mixed = |on_x0: f64, on_eps: f64| {
        let (on_x0, on_eps) = (on_x0 as f32, on_eps as f32);
        x0.iter().zip(&eps).map(move |(x0, eps)| on_x0 * x0 + on_eps * eps)
    };
    batch.input.extend(mixed(scalings.c_in * alpha, scalings.c_in * sigma));
    batch.target.extend(mixed(a, b));
    batch.c_noise.push(scalings.c_noise as f32);
    batch.weight.push(stage.training.weighting.weight(process, level) as f32);
    batch.log_snr.push(level.log_snr() as f32);
    batch.keep.push(f32::from(u8::from(!stream.chance(stage.training.drop_caption))));
    batch.captions.push(caption);
    batch.scenes.extend(scene);

    if let (Some(lowres), Some(config), Some(below)) = (&mut batch.lowres, stage.config.lowres, stage.below) {
        let whole = shrink(&full, size, below);
        let corner = corner.map(|c| c / factor);
        let small = cut(&whole, below, corner, side / factor);
        let [low, high] = config.train_std.map(f64::ln);
        let std = stream.range(low, high).exp();
        let (image, level) = noised(&small, [side / factor, factor], std, || stream.normal());
        lowres.image.extend(image);
        lowres.level.push(level);
        if let Some(kept) = &mut lowres.whole {
            kept.image.extend(whole);
            kept.corners.push(corner);
            kept.alphas.push(lowres::level(std).alpha as f32);
            kept.numbers.push(number);
        }
    }
    if let Some(known) = &mut batch.known {
        let keep = match stream.chance(stage.training.inpainting) {
            true => known::draw(&mut stream, &x0, side),
            false => vec![0.0; side * side],
        };
        known.extend(x0.iter().zip(keep.iter().cycle()).map(|(x0, keep)| x0 * keep));
        known.extend(keep);
    }
}

/// What [`lowres::condition`] makes of a batch, of three planes of `side` enlarged by `factor`.
fn noised(small: &[f32], [side, factor]: [usize; 2], std: f64, mut eps: impl FnMut() -> f32) -> (Vec<f32>, f32) {
    let level = lowres::level(std);
    let (alpha, sigma) = (level.alpha as f32, level.sigma as f32);
    let image = enlarge(small, side, factor).into_iter().map(|v| alpha * v + sigma * eps());
    (image.collect(), level.log_snr() as f32)
}

/// The planes of a picture at the stage's size, what is said of it, and its scene if it is of the shapes world.
fn picture(stream: &mut Stream, stage: &Place<'_>, step: u64) -> (Vec<f32>, String, Option<Scene>) {
    let size = stage.config.size;
    match stage.source {
        Source::Pictures(pictures) => {
            let (picture, caption) = pictures.draw(stream);
            (shrink(&picture.planes(), picture.width, size), caption.to_owned(), None)
        }
        Source::Digits => {
            let sample = draw_digit(stream);
            (render(&sample.scene, size).planes(), sample.caption, None)
        }
        Source::Shapes => {
            let sample = draw(stream, stage.training.mix(step));
            (render(&sample.scene, size).planes(), sample.caption, Some(sample.scene))
        }
    }
}

/// A square of `side` out of three planes of `size`, `corner` its column and row.
fn cut(planes: &[f32], size: usize, [x, y]: [usize; 2], side: usize) -> Vec<f32> {
    let row = |c: usize, r: usize| {
        let at = (c * size + y + r) * size + x;
        &planes[at..at + side]
    };
    (0..3).flat_map(|c| (0..side).flat_map(move |r| row(c, r).iter().copied())).collect()
}

/// The mean of every square of pixels.
fn shrink(planes: &[f32], size: usize, small: usize) -> Vec<f32> {
    let factor = size / small;
    let share = 1.0 / (factor * factor) as f32;
    let mut out = vec![0.0; 3 * small * small];
    for (i, v) in planes.iter().enumerate() {
        let (x, y, c) = (i % size, i / size % size, i / (size * size));
        out[(c * small + y / factor) * small + x / factor] += v * share;
    }
    out
}

/// Every pixel as a square of `factor`.
fn enlarge(planes: &[f32], side: usize, factor: usize) -> Vec<f32> {
    let big = side * factor;
    (0..3 * big * big)
        .map(|i| {
            let (x, y, c) = (i % big, i / big % big, i / (big * big));
            planes[(c * side + y / factor) * side + x / factor]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::{Place, Source, cut, enlarge, examples, noised, shrink};
    use crate::cascade::lowres;
    use crate::noise::{Purpose, Stream};
    use crate::train::TrainConfig;

    fn place(config: &TrainConfig, index: usize) -> Place<'_> {
        Place {
            index,
            config: &config.model.stages[index],
            training: &config.stages[index],
            below: index.checked_sub(1).map(|i| config.model.stages[i].size),
            source: Source::Shapes,
        }
    }

    #[test]
    fn an_example_does_not_depend_on_its_batch() {
        let config = TrainConfig::preset("tiny").unwrap();
        for index in [0, 1] {
            let place = place(&config, index);
            let all = examples(5, &place, 3, 0..4);
            let last = examples(5, &place, 3, 3..4);
            assert_eq!(all.input[all.input.len() / 4 * 3..], last.input[..]);
            assert_eq!(all.captions[3], last.captions[0]);
            assert_ne!(all.captions, examples(6, &place, 3, 0..4).captions);
            assert_ne!(all.input, examples(5, &place, 4, 0..4).input);
        }
    }

    /// `c_skip x_t + c_out target` is the picture, so the noise cancels and every value is in range.
    #[test]
    fn input_and_target_hold_the_picture() {
        let config = TrainConfig::preset("small").unwrap();
        let place = place(&config, 1);
        let batch = examples(1, &place, 0, 0..8);
        let n = batch.input.len() / batch.count;
        assert_eq!(n, 3 * 64 * 64);
        for i in 0..batch.count {
            let crate::diffusion::Process::Elucidated(edm) = place.config.process else { panic!("EDM") };
            let sigma = (4.0 * f64::from(batch.c_noise[i])).exp();
            let s = place.config.process.scalings(crate::diffusion::Level::variance_exploding(sigma));
            assert!((s.c_in * (edm.sigma_data.powi(2) + sigma * sigma).sqrt() - 1.0).abs() < 1e-9);
            for j in i * n..(i + 1) * n {
                let x0 = s.c_skip * f64::from(batch.input[j]) / s.c_in + s.c_out * f64::from(batch.target[j]);
                assert!(x0.abs() < 1.0 + 2e-3, "{x0} at sigma {sigma}");
            }
        }
    }

    #[test]
    fn the_asked_share_of_captions_is_dropped() {
        let mut config = TrainConfig::preset("tiny").unwrap();
        for share in [0.0, 0.1, 0.5, 1.0] {
            config.stages[0].drop_caption = share;
            let keep = examples(7, &place(&config, 0), 0, 0..2000).keep;
            assert!(keep.iter().all(|&v| v == 0.0 || v == 1.0));
            let dropped = keep.iter().filter(|&&v| v == 0.0).count() as f64 / 2000.0;
            // Five standard errors.
            assert!((dropped - share).abs() <= 5.0 * (share * (1.0 - share) / 2000.0).sqrt(), "{dropped} for {share}");
        }
    }

    #[test]
    fn of_the_asked_share_a_part_is_known() {
        let mut config = TrainConfig::preset("tiny").unwrap();
        let mut inputs = Vec::new();
        for share in [0.0, 0.3, 1.0] {
            config.stages[0].inpainting = share;
            let place = place(&config, 0);
            let batch = examples(7, &place, 0, 0..500);
            let known = batch.known.unwrap();
            let n = batch.side * batch.side;
            let mut partly = 0;
            for known in known.chunks_exact(4 * n) {
                let (picture, keep) = known.split_at(3 * n);
                assert!(picture.iter().zip(keep.iter().cycle()).all(|(v, keep)| *keep == 1.0 || *v == 0.0));
                assert!(keep.contains(&0.0));
                partly += usize::from(keep.contains(&1.0));
            }
            let part = partly as f64 / 500.0;
            // Five standard errors, and a mask may cover so small a picture.
            assert!(part <= share + 5.0 * (share * (1.0 - share) / 500.0).sqrt(), "{part} of {share}");
            assert!(part >= 0.9 * share - 5.0 * (share * (1.0 - share) / 500.0).sqrt(), "{part} of {share}");
            inputs.push(batch.input);
        }
        assert!(inputs[0] == inputs[1] && inputs[1] == inputs[2], "what is known changes nothing else");
        assert_eq!(examples(7, &place(&config, 1), 0, 0..2).known, None, "a network that is not told");
    }

    #[test]
    fn training_and_sampling_see_the_same_smaller_picture() {
        const SIDE: usize = 4;
        for (factor, std) in [(2, 0.1), (4, 0.7), (1, 0.0)] {
            let mut stream = Stream::new(2, Purpose::Evaluation, 0);
            let (small, eps) = (stream.normals(3 * SIDE * SIDE), stream.normals(3 * (SIDE * factor).pow(2)));
            let mut noise = eps.iter().copied();
            let (image, level) = noised(&small, [SIDE, factor], std, || noise.next().unwrap());
            assert_eq!(noise.next(), None);
            let tensor = |values: Vec<f32>, side: usize| {
                Tensor::<4>::from_data(TensorData::new(values, [1, 3, side, side]), &Device::flex())
            };
            let (small, eps) = (tensor(small, SIDE), tensor(eps, SIDE * factor));
            let sampled = lowres::condition(small, SIDE * factor, std, eps);
            let seen: Vec<f32> = sampled.image.into_data().try_to_vec().unwrap();
            assert!(image.len() == seen.len() && image.iter().zip(&seen).all(|(a, b)| (a - b).abs() < 2e-6));
            assert_eq!(level, sampled.level.into_scalar::<f32>());
        }
    }

    #[test]
    fn squares_by_hand() {
        let planes: Vec<f32> = (0..48).map(|v| v as f32).collect();
        assert_eq!(cut(&planes, 4, [1, 2], 2)[..4], [9.0, 10.0, 13.0, 14.0]);
        assert_eq!(shrink(&planes, 4, 2)[..4], [2.5, 4.5, 10.5, 12.5]);
        assert_eq!(shrink(&enlarge(&planes, 4, 3), 12, 4).len(), 48);
        assert!(shrink(&enlarge(&planes, 4, 2), 8, 4).iter().zip(&planes).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
