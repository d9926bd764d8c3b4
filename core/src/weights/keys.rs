//! Our paths in the words of imagen-pytorch.

/// Ordered: a later line sees what an earlier one has left. Both sides are whole names between dots.
type Rules = [(&'static str, &'static str)];

/// Of a level on the way down, which upstream is a list of five.
const DOWN: &Rules = &[
    (".pre.conv.", ".0.1."),
    (".blocks.first.", ".1."),
    (".blocks.resnets.", ".2."),
    (".blocks.transformer.", ".3."),
    (".post.conv.", ".4.1."),
    (".widen.conv3.", ".4.fns.0."),
    (".widen.conv1.", ".4.fns.1."),
];

/// Of a level on the way up, a list of four.
const UP: &Rules = &[
    (".blocks.first.", ".0."),
    (".blocks.resnets.", ".1."),
    (".blocks.transformer.", ".2."),
    (".shuffle.conv.", ".3.net.0."),
    (".nearest.conv.", ".3.1."),
];

/// Of everything else.
const REST: &Rules = &[
    (".stem.convs.", ".init_conv.convs."),
    (".lowres_time.features.", ".to_lowres_time_hiddens.0."),
    (".lowres_time.hidden.", ".to_lowres_time_hiddens.1."),
    (".lowres_time.cond.", ".to_lowres_time_cond.0."),
    (".lowres_time.tokens.", ".to_lowres_time_tokens.0."),
    (".time.features.", ".to_time_hiddens.0."),
    (".time.hidden.", ".to_time_hiddens.1."),
    (".time.cond.", ".to_time_cond.0."),
    (".time.tokens.", ".to_time_tokens.0."),
    (".time.", ".time_mlp.1."),
    (".text.to_cond.", ".text_to_cond."),
    (".text.null_embed.", ".null_text_embed."),
    (".text.null_hidden.", ".null_text_hidden."),
    (".text.pool.", ".attn_pool."),
    (".text.norm.", ".to_text_non_attn_cond.0."),
    (".text.hidden.", ".to_text_non_attn_cond.1."),
    (".text.out.", ".to_text_non_attn_cond.3."),
    (".pos_emb.", ".pos_emb.weight."),
    (".mean.norm.", ".to_latents_from_mean_pooled_seq.0."),
    (".mean.linear.", ".to_latents_from_mean_pooled_seq.1."),
    (".init_block.", ".init_resnet_block."),
    (".final_block.", ".final_res_block."),
    (".combine.", ".upsample_combiner.fmap_convs."),
    (".conv.", ".project."),
    (".squeeze.", ".net.0."),
    (".expand.", ".net.2."),
    (".scale.q.", ".q_scale."),
    (".scale.k.", ".k_scale."),
    (".context.norm.", ".to_context.0."),
    (".context.linear.", ".to_context.1."),
    (".attn.", ".0."),
    (".ff.norm_in.", ".1.0."),
    (".ff.linear_in.", ".1.1."),
    (".ff.norm_out.", ".1.3."),
    (".ff.linear_out.", ".1.4."),
    (".to_out.", ".to_out.0."),
    (".norm_out.", ".to_out.1."),
];

/// The keys under which imagen-pytorch 2.1 may keep the parameter at `path` of our [`Unet`](crate::unet::Unet), for
/// [`load`](super::load).
///
/// Upstream's two layer norms call their gain `weight` and `g`, and a stem of one kernel is no list: a path tells
/// neither, so there may be several keys, of which a file has one.
#[must_use]
pub fn imagen_pytorch(path: &str) -> Vec<String> {
    let level = if path.starts_with("downs.") {
        DOWN
    } else if path.starts_with("ups.") {
        UP
    } else {
        &[]
    };
    let key = level.iter().chain(REST).fold(format!(".{path}."), |key, (ours, theirs)| key.replace(ours, theirs));
    let key = key.trim_matches('.').to_owned();
    let mut keys = Vec::new();
    if let Some(only) = key.strip_prefix("init_conv.convs.0.") {
        keys.push(format!("init_conv.{only}"));
    }
    if let Some(norm) = key.strip_suffix(".weight") {
        keys.push(format!("{norm}.g"));
    }
    keys.insert(0, key);
    keys
}

#[cfg(test)]
mod tests {
    use super::imagen_pytorch;

    #[track_caller]
    fn check(path: &str, key: &str) {
        let keys = imagen_pytorch(path);
        assert!(keys.iter().any(|k| k == key), "{path}: {keys:?}, not {key}");
    }

    /// One of each kind; `tests/it/unet.rs` checks all parameters of three networks.
    #[test]
    fn a_path_of_each_kind() {
        check("stem.convs.2.bias", "init_conv.convs.2.bias");
        check("stem.convs.0.weight", "init_conv.weight");
        check("time.features.weights", "to_time_hiddens.0.weights");
        check("lowres_time.tokens.bias", "to_lowres_time_tokens.0.bias");
        check("text.null_embed", "null_text_embed");
        check("text.pool.pos_emb", "attn_pool.pos_emb.weight");
        check("text.pool.layers.1.ff.norm_out.weight", "attn_pool.layers.1.1.3.g");
        check("text.pool.layers.1.attn.norm_out.weight", "attn_pool.layers.1.0.to_out.1.weight");
        check("norm_cond.weight", "norm_cond.weight");
        check("downs.0.pre.conv.weight", "downs.0.0.1.weight");
        check("downs.1.blocks.first.time.weight", "downs.1.1.time_mlp.1.weight");
        check("downs.1.blocks.first.cross_attn.scale.q", "downs.1.1.cross_attn.q_scale");
        check("downs.1.widen.conv1.bias", "downs.1.4.fns.1.bias");
        check("ups.0.blocks.resnets.1.gca.squeeze.weight", "ups.0.1.1.gca.net.0.weight");
        check("ups.0.blocks.transformer.layers.0.attn.to_out.weight", "ups.0.2.layers.0.0.to_out.0.weight");
        check("ups.1.nearest.conv.weight", "ups.1.3.1.weight");
        check("combine.1.conv.weight", "upsample_combiner.fmap_convs.1.project.weight");
        check("mid_block1.block2.norm.gamma", "mid_block1.block2.norm.gamma");
        check("final_conv.weight", "final_conv.weight");
    }
}
