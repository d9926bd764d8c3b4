//! Steps of training: that they learn, that their gradient is right, and that every device takes the same.

use burn::tensor::{Device, Tensor};
use firefall_core::text::{T5Encoder, Tokenizer};
use firefall_core::train::TrainConfig;
use firefall_core::train::data::{Place, Source, examples};
use firefall_core::train::params::{Flat, Graph, gradients, replace, values};
use firefall_core::train::trainer::{Trainer, Words};
use firefall_core::weights::named;

use crate::tiny::{config, numbers, shaken, shared, tokenizer, wgpu};

fn place(config: &TrainConfig, index: usize) -> Place<'_> {
    Place {
        index,
        config: &config.model.stages[index],
        training: &config.stages[index],
        below: index.checked_sub(1).map(|below| config.model.stages[below].size),
        source: Source::Shapes,
    }
}

fn words(config: &TrainConfig, frozen: Option<T5Encoder>) -> Words {
    let tokenizer = Tokenizer::from_bytes(tokenizer()).unwrap();
    Words { tokenizer, max_len: config.model.text.max_len, frozen }
}

/// A trainer of the first stage, shaken: in a fresh network only the last convolution has a gradient.
fn trainer(config: &TrainConfig, device: &Device) -> Trainer {
    let mut trainer = fresh(config, device);
    trainer.networks = shaken(trainer.networks, 4);
    trainer
}

fn fresh(config: &TrainConfig, device: &Device) -> Trainer {
    Trainer::new(3, &config.model.stages[0], Some(&config.model.text), &config.stages[0], device)
}

/// What a step goes down.
fn total((losses, naming): (Tensor<1>, Option<Tensor<1>>)) -> Tensor<1> {
    naming.into_iter().fold(losses.mean(), |loss, naming| loss + naming)
}

fn one(tensor: &Tensor<1>) -> f32 {
    numbers(tensor)[0]
}

fn all(flat: &Flat) -> Vec<f32> {
    flat.iter().flat_map(numbers).collect()
}

#[test]
fn micro_batches_change_nothing_but_rounding() {
    let run = |micro_batch: usize| {
        let mut config = config();
        config.stages[0].micro_batch = micro_batch;
        let mut trainer = trainer(&config, &Device::flex());
        let words = words(&config, None);
        let losses: Vec<f32> =
            (0..3).map(|_| one(&trainer.step(5, &place(&config, 0), &words).unwrap().loss)).collect();
        (losses, all(&trainer.optimizer.mean), all(&values(&trainer.networks)))
    };
    let (losses, mean, params) = run(4);
    let rate = config().stages[0].optim.learning_rate as f32;
    for micro_batch in [1, 2, 3] {
        let (other_losses, other_mean, other_params) = run(micro_batch);
        for (a, b) in losses.iter().zip(&other_losses) {
            assert!((a - b).abs() < 1e-4 * a, "{micro_batch}: losses {losses:?} and {other_losses:?}");
        }
        let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let off = norm(&mut mean.iter().zip(&other_mean).map(|(a, b)| a - b));
        assert!(off < 1e-3 * norm(&mut mean.iter().copied()), "{micro_batch}: gradients {off:e} apart");
        // AdamW takes a whole step for a gradient of any size, so one that is nearly 0 may turn a few parameters around.
        let far = params.iter().zip(&other_params).filter(|(a, b)| (*a - *b).abs() > 0.02 * rate).count();
        assert!(far * 50 < params.len(), "{micro_batch}: {far} of {} parameters apart", params.len());
    }
}

#[test]
fn losses_count_by_their_levels_where_that_is_asked() {
    use firefall_core::train::balance::{BINS, shares};
    let device = Device::flex();
    let batch = examples(5, &place(&config(), 0), 0, 0..4);
    let shares = shares(&batch.log_snr, &device);
    let run = |balance: bool| {
        let mut config = config();
        config.stages[0].balance = balance;
        let mut trainer = trainer(&config, &device);
        // As if levels with less noise had had larger losses.
        let ramp: Vec<f32> = (0..BINS).map(|i| 10.0 * i as f32).collect();
        trainer.balance.losses = Tensor::from_data(burn::tensor::TensorData::new(ramp, [BINS]), &device);
        trainer.balance.pictures = Tensor::full([BINS], 100.0, &device);
        let factors = numbers(&trainer.balance.factors(shares.clone()));
        let networks = replace(trainer.networks.clone(), values(&trainer.networks), Graph::Tracked);
        let words = words(&config, None);
        let each = numbers(&trainer.losses(&networks, &batch, &config.stages[0], &words).unwrap().0.inner());
        let loss = one(&trainer.step(5, &place(&config, 0), &words).unwrap().loss);
        (each, factors, loss, numbers(&trainer.balance.pictures).iter().sum::<f32>())
    };
    let (each, factors, plain, _) = run(false);
    assert!(factors.iter().any(|f| (f - 1.0).abs() > 0.1), "{factors:?}");
    let mean = |values: &mut dyn Iterator<Item = f32>| values.sum::<f32>() / 4.0;
    assert!((plain - mean(&mut each.iter().copied())).abs() < 1e-4 * plain);
    let (_, _, balanced, pictures) = run(true);
    let want = mean(&mut each.iter().zip(&factors).map(|(loss, factor)| loss * factor));
    assert!((balanced - want).abs() < 1e-4 * want, "{balanced} not {want}");
    assert!((pictures - (0.995 * 100.0 * BINS as f32 + 4.0)).abs() < 1.0, "{pictures}");
}

/// A share of nothing is a share that is next to nothing, with less to do.
#[test]
fn a_text_encoder_without_a_share_stays_as_it_is() {
    let run = |share: f64| {
        let mut config = config();
        config.stages[0].optim.text_share = share;
        // The norm of the gradient is of what is trained: unshortened, it does not matter.
        config.stages[0].optim.clip_norm = 1e9;
        let mut trainer = trainer(&config, &Device::flex());
        let before = values(&trainer.networks);
        let words = words(&config, None);
        let loss = one(&trainer.step(5, &place(&config, 0), &words).unwrap().loss);
        let changes = values(&trainer.networks).into_iter().zip(before).map(|(a, b)| numbers(&(a - b)));
        let paths = named(&trainer.networks).into_iter().map(|p| p.path);
        (loss, paths.zip(changes).collect::<Vec<_>>())
    };
    let ((loss, still), (same_loss, moving)) = (run(0.0), run(1e-9));
    assert!((loss - same_loss).abs() < 1e-6 * loss);
    for ((path, still), (_, moving)) in still.iter().zip(&moving) {
        let far = still.iter().zip(moving).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // A step is a thousandth long; where a gradient is nearly nothing, AdamW makes something of its rounding.
        assert!(far < 1e-5, "{path}: {far}");
        assert!(!path.starts_with("t5.") || still.iter().all(|&v| v == 0.0), "{path}");
    }
}

#[test]
fn a_batch_is_learnt() {
    let mut config = config();
    config.stages[0].optim.warmup = 1;
    config.stages[0].optim.learning_rate = 5e-3;
    let mut trainer = trainer(&config, &Device::flex());
    let words = words(&config, None);
    let mut losses = Vec::new();
    for _ in 0..30 {
        // The same batch again.
        trainer.step = 0;
        losses.push(one(&trainer.step(5, &place(&config, 0), &words).unwrap().loss));
    }
    assert!(losses[29] < 0.5 * losses[0], "{losses:?}");
    // And so is a fresh network, whose last convolution is zero.
    let mut fresh = fresh(&config, &Device::flex());
    let first = one(&fresh.step(5, &place(&config, 0), &words).unwrap().loss);
    for _ in 0..30 {
        fresh.step = 0;
        fresh.step(5, &place(&config, 0), &words).unwrap();
    }
    fresh.step = 0;
    let last = one(&fresh.step(5, &place(&config, 0), &words).unwrap().loss);
    assert!(last < 0.7 * first, "{first} to {last}");
}

/// Of every parameter whose gradient is large enough to be seen in single precision: a step along it must change the
/// loss by its length.
fn check_gradients(index: usize) -> Vec<String> {
    // How much the loss should change. A step of fixed length would be too long for some: where a norm divides by
    // nearly nothing, the loss is anything but straight.
    const CHANGE: f64 = 1e-3;
    let config = config();
    let place = place(&config, index);
    let text = (index == 0).then_some(&config.model.text);
    let trainer = Trainer::new(3, place.config, text, place.training, &Device::flex());
    let networks = shaken(trainer.networks.clone(), 4);
    let words = words(&config, (index > 0).then(|| shared().text.t5.clone()));
    let batch = examples(5, &place, 0, 0..4);
    let start = values(&networks);
    let loss = |params: Flat| {
        let networks = replace(networks.clone(), params, Graph::Tracked);
        let loss = total(trainer.losses(&networks, &batch, place.training, &words).unwrap());
        (networks, loss)
    };
    let (tracked, at_start) = loss(start.clone());
    let grads = gradients(&tracked, at_start.backward());
    let mut checked = Vec::new();
    for (i, parameter) in named(&networks).iter().enumerate() {
        let length = numbers(&grads[i]).iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        if length < 0.02 {
            continue;
        }
        let at = |h: f64| {
            let mut params = start.clone();
            params[i] = params[i].clone() + grads[i].clone() * (h / length) as f32;
            f64::from(one(&loss(params).1.inner()))
        };
        let h = CHANGE / 2.0 / length;
        let slope = |h: f64| (at(h) - at(-h)) / (2.0 * h);
        // Richardson's extrapolation: the third derivative, which is all too large in a network this small, falls out.
        let numeric = (4.0 * slope(h) - slope(2.0 * h)) / 3.0;
        let (path, close) = (&parameter.path, (numeric - length).abs() < 0.04 * length);
        assert!(close, "{path}: the gradient is {length} long, the loss changes by {numeric}");
        checked.push(path.clone());
    }
    checked
}

#[test]
fn the_gradient_of_the_loss_agrees_with_central_differences() {
    let first = check_gradients(0);
    assert!(first.len() > 30, "{first:?}");
    for part in
        ["t5.", "unet.stem", "unet.time", "unet.text", "unet.downs", "unet.mid", "unet.ups", "unet.final", "namer"]
    {
        assert!(first.iter().any(|path| path.starts_with(part)), "none of {part}: {first:?}");
    }
    let second = check_gradients(1);
    assert!(second.len() > 20 && second.iter().any(|path| path.starts_with("unet.lowres_time")), "{second:?}");
}

/// Every gradient of a shaken network, in which every path carries something.
#[test]
fn a_gpu_has_the_same_gradients() {
    let Some(device) = wgpu("a_gpu_has_the_same_gradients") else { return };
    let config = config();
    let place = place(&config, 0);
    let words = words(&config, None);
    let batch = examples(5, &place, 0, 0..2);
    let run = |device: &Device| -> Vec<Vec<f32>> {
        let trainer = trainer(&config, device);
        let networks = replace(trainer.networks.clone(), values(&trainer.networks), Graph::Tracked);
        let loss = total(trainer.losses(&networks, &batch, place.training, &words).unwrap());
        gradients(&networks, loss.backward()).iter().map(numbers).collect()
    };
    let (cpu, gpu) = (run(&Device::flex()), run(&device));
    let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let named = named(&trainer(&config, &Device::flex()).networks);
    for ((parameter, a), b) in named.iter().zip(&cpu).zip(&gpu) {
        let (length, off) = (norm(&mut a.iter().copied()), norm(&mut a.iter().zip(b).map(|(a, b)| a - b)));
        // Where a norm divides by nearly nothing, rounding grows a thousandfold.
        assert!(off <= 1e-2 * length + 1e-6, "{}: {length:e} long, {off:e} apart", parameter.path);
    }
}

/// From a fresh network, as training goes: a shaken one is so steep that Adam makes much of rounding.
#[test]
fn a_gpu_learns_the_same() {
    let Some(device) = wgpu("a_gpu_learns_the_same") else { return };
    let mut config = config();
    config.stages[0].batch = 2;
    let run = |device: &Device| -> Vec<f32> {
        let mut trainer = fresh(&config, device);
        let words = words(&config, None);
        (0..20).map(|_| one(&trainer.step(5, &place(&config, 0), &words).unwrap().loss)).collect()
    };
    let (cpu, gpu) = (run(&Device::flex()), run(&device));
    for (step, (a, b)) in cpu.iter().zip(&gpu).enumerate() {
        assert!((a - b).abs() < 1e-3, "step {step}: {cpu:?} and {gpu:?}");
    }
}
