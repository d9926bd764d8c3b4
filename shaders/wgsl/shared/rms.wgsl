// What the three kernels of channel RMS norm share. Layout of `params`: b, c, hw.
// `affine` is (b, 2, c): the gains of every channel, then the offsets.

// One over the root mean square of a pixel's channels: sqrt(c) / max(|x|, 1e-12), as torch's F.normalize guards it.
fn inverse_rms(sum_of_squares: f32, c: u32) -> f32 {
    return sqrt(f32(c)) / max(sqrt(sum_of_squares), 1e-12);
}

// The derivative of SiLU.
fn silu_slope(u: f32) -> f32 {
    let s = 1.0 / (1.0 + exp(-u));
    return s * (1.0 + u * (1.0 - s));
}
