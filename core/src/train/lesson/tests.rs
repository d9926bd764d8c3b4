//! A lesson of few keys, and what is said of wrong ones.

use serde_json::{Value, json};

use super::lesson;
use crate::cascade::LowresConfig;
use crate::diffusion::{LogSnrSchedule, Objective, Process, SamplerKind, Threshold};
use crate::train::Data;

fn main() -> Value {
    json!({
        "diffusion_cascade": {
            "cascade_layer_1": { "config": "base.yaml" },
            "cascade_layer_2": { "config": "sr.yaml" }
        },
        "data": { "image_size": 32, "num_channels": 1, "num_classes": 10 },
        "training": { "batch_size": 5, "num_training_steps": 7 }
    })
}

/// A stage as the lesson has it, 8 x 8 or, after that, 32 x 32.
fn stage(follows: bool) -> Value {
    let size = if follows { 32 } else { 8 };
    let second = match follows {
        true => json!({ "target": "image_diffusion.layers.super_resolution.GaussianConditioningAugmentationToTimestep",
            "params": { "num_features": 32, "time_embedding_mult": 4 } }),
        false => json!({ "target": "image_diffusion.layers.embedding.PooledTextEmbeddingsToTimestep",
            "params": { "text_embedding_dim": 24, "time_embedding_dim": 128, "attention_pooling_heads": 1 } }),
    };
    let mut tree = json!({
        "diffusion": {
            "sampling": { "target": "image_diffusion.sampling.AncestralSampler",
                "params": { "output_channels": 1, "output_spatial_size": size } },
            "noise_scheduler": { "num_scales": 1000, "schedule": if follows { "cosine" } else { "linear" },
                "loss_type": "l2", "sampler": { "target": "image_diffusion.importance_sampling.UniformSampler",
                "params": { "num_timesteps": 1000 } } },
            "context_preprocessing": [{ "target": "image_diffusion.conditioning.T5TextPromptsPreprocessor",
                "params": { "max_length": 77, "model_name": "trained" } }],
            "input_preprocessing": { "target": "image_diffusion.conditioning.IgnoreInputPreprocessor", "params": {} },
            "classifier_free_guidance": { "classifier_free_guidance": 1.0, "unconditional_guidance_probability": 0.2,
                "signals": ["text_prompts"], "unconditional_context":
                { "target": "image_diffusion.conditioning.UnconditionalTextPromptsAdapter", "params": {} } },
            "score_network": { "target": "image_diffusion.score_networks.unet.Unet", "params": {
                "input_channels": if follows { 2 } else { 1 }, "output_channels": 1, "input_spatial_size": size,
                "num_features": 32, "channel_multipliers": [1, 2, 2], "num_resnet_blocks": [1, 2, 3],
                "use_scale_shift_norm": true, "resamp_with_conv": false, "resblock_updown": false,
                "resnet_block_type": "biggan", "dropout": 0.1, "is_learned_sigma": false,
                "is_class_conditional": false, "num_classes": 10,
                "attention": { "attention_resolutions": [4], "attention_heads": 2, "attention_channels": 64,
                    "is_causal": false },
                "conditioning": { "signals": ["timestep", "text_tokens"],
                    "projections": {
                        "timestep": { "target": "image_diffusion.layers.embedding.TimestepEmbeddingProjection",
                            "params": { "num_features": 32, "time_embedding_mult": 4 } },
                        "text_tokens": { "target": "image_diffusion.layers.embedding.T5TextTokensToEmbedding",
                            "params": { "model_name": "trained" } } },
                    "context_transformer_head": [
                        { "target": "image_diffusion.conditioning.TextTokenProjectionAdapter", "params": {} }, second],
                    "context_transformer_layer": { "target": "image_diffusion.layers.attention.SpatialCrossAttention",
                        "params": { "context_dim": 77, "heads": 2, "dim_head": 16, "dropout": 0.1,
                            "context_adapter": { "target": "image_diffusion.conditioning.TextEmbeddingsAdapter",
                                "params": {} } } } }
            } }
        },
        "data": { "image_size": size, "num_channels": 1, "num_classes": 10 }
    });
    if follows {
        tree["super_resolution"] = json!({ "low_resolution_spatial_size": 8, "super_resolution_spatial_size": 32,
            "conditioning_key": "low_resolution_images", "sampling_augmentation_level": 0.25 });
        tree["diffusion"]["input_preprocessing"] = json!({
            "target": "image_diffusion.layers.super_resolution.InputPreprocessor",
            "params": { "low_resolution_spatial_size": 8, "super_resolution_spatial_size": 32,
                "context_input_key": "low_resolution_images", "apply_gaussian_conditioning_augmentation": true } });
    } else {
        tree["diffusion"]["dynamic_thresholding"] = json!({ "enable": true, "p": 0.99, "c": 1.7 });
    }
    tree
}

fn read(name: &str) -> Result<Value, String> {
    Ok(stage(name == "sr.yaml"))
}

#[test]
fn every_key_has_its_place() {
    let read = lesson(main(), read).unwrap();
    let (config, model) = (&read.config, &read.config.model);
    assert_eq!((config.data.clone(), config.stages[1].batch, config.stages[1].steps), (Data::Digits, 5, 7));
    assert_eq!((config.stages[0].drop_caption, config.stages[0].optim.learning_rate), (0.2, 2e-4));
    let [base, finer] = &model.stages[..] else { panic!("two stages") };
    assert_eq!([base.size, finer.size], [8, 32]);
    let gaussian = |schedule| Process::Gaussian { schedule, objective: Objective::Noise };
    assert_eq!(base.process, gaussian(LogSnrSchedule::Linear));
    assert_eq!(finer.process, gaussian(LogSnrSchedule::Cosine));
    assert_eq!((base.sampling.sampler, base.sampling.steps), (SamplerKind::Ddpm, 1000));
    assert_eq!(base.sampling.threshold, Threshold::Dynamic { quantile: 0.99, most: Some(1.7) });
    assert_eq!(finer.sampling.threshold, Threshold::Static);
    // alpha² and sigma² of the cosine schedule at a quarter of the way.
    let LowresConfig { sample_std, train_std } = finer.lowres.unwrap();
    let angle = (0.25 + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2;
    assert!((sample_std - angle.tan()).abs() < 1e-6 && train_std[1] == 2.0 * sample_std, "{sample_std}");
    let shape = |unet: &crate::unet::config::UnetConfig| {
        unet.levels.iter().map(|l| (l.mult, l.resnet_blocks, l.attention)).collect::<Vec<_>>()
    };
    assert_eq!(shape(&base.unet), [(1, 0, 0), (2, 1, 1), (2, 2, 0)], "4 x 4 is the second level");
    assert_eq!(shape(&finer.unet), [(1, 0, 0), (2, 1, 0), (2, 2, 1)], "and the third of one that halves first");
    assert_eq!((base.unet.attn.dim_head, base.unet.middle_cross.dim_head), (64, 16));
    assert_eq!((model.text.t5.d_model, model.text.max_len), (24, 77));
    let told = read.ignored.iter().any(|line| line == "base.yaml: diffusion.score_network.params.dropout = 0.1");
    assert!(told, "{:?}", read.ignored);
}

#[test]
fn what_cannot_be_is_named() {
    let network = "diffusion/score_network/params";
    for (file, path, value, says) in [
        (
            "base.yaml",
            "diffusion/parameterization",
            json!("rectified_flow"),
            "base.yaml: diffusion.parameterization is",
        ),
        ("sr.yaml", "diffusion/noise_scheduler/schedule", json!("sigmoid"), "not linear or cosine"),
        ("sr.yaml", "diffusion/sampling/target", json!("a.EdmSampler"), "is EdmSampler; there are AncestralSampler"),
        ("base.yaml", &format!("{network}/is_learned_sigma"), json!(true), "is true; here it is false"),
        ("base.yaml", &format!("{network}/num_resnet_blocks"), json!([1, 2]), "num_resnet_blocks is not a number"),
        ("base.yaml", &format!("{network}/num_features"), json!("many"), "num_features is \"many\""),
        ("base.yaml", &format!("{network}/num_features"), Value::Null, "num_features is missing"),
        ("base.yaml", &format!("{network}/num_featurs"), json!(3), "num_featurs is no key of the lesson"),
        ("sr.yaml", &format!("{network}/input_channels"), json!(1), "is 1; here it is 2"),
        ("sr.yaml", "super_resolution/low_resolution_spatial_size", json!(16), "is 16; here it is 8"),
        ("sr.yaml", "super_resolution/sampling_augmentation_level", json!(1.5), "is 1.5; it is a time"),
        ("sr.yaml", "data/image_size", json!(64), "data.image_size is 64; here it is 32"),
        ("sr.yaml", "diffusion/context_preprocessing/0/params/max_length", json!(12), "77 and of 12 tokens"),
        (
            "base.yaml",
            "diffusion/context_preprocessing/0/params/model_name",
            json!("google/t5-v1_1-small"),
            "is google/t5-v1_1-small; its weights are not here",
        ),
    ] {
        let error = lesson(main(), |name| {
            let mut tree = read(name)?;
            if name == file {
                let (parent, key) = path.rsplit_once('/').unwrap();
                tree.pointer_mut(&format!("/{parent}")).unwrap()[key] = value.clone();
            }
            Ok(tree)
        });
        let error = error.unwrap_err();
        assert!(error.contains(says), "{error} does not say {says}");
    }
    let mut empty = main();
    empty["diffusion_cascade"] = json!({});
    assert!(lesson(empty, read).unwrap_err().contains("names no stage"));
    let missing = lesson(main(), |name| Err(format!("{name}: no such file"))).unwrap_err();
    assert_eq!(missing, "base.yaml: no such file");
}
