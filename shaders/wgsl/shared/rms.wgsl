// What the three kernels of channel RMS norm share. Layout of `params`: b, c, hw.
// `affine` is (b, 2, c): the gains of every channel, then the offsets.

// One over the root mean square of a pixel's channels: sqrt(c) / max(|x|, 1e-12), as torch's F.normalize guards it.
// What is no number stays so, seen by its bits: of `max` it may come out as a number.
fn inverse_rms(sum_of_squares: f32, c: u32) -> f32 {
    let is_nan = (bitcast<u32>(sum_of_squares) & 0x7fffffffu) > 0x7f800000u;
    let length = select(max(sqrt(sum_of_squares), 1e-12), sum_of_squares, is_nan);
    return sqrt(f32(c)) / length;
}

// The derivative of SiLU.
fn silu_slope(u: f32) -> f32 {
    let s = 1.0 / (1.0 + exp(-u));
    return s * (1.0 + u * (1.0 - s));
}
