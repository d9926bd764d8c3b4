// Channel RMS norm, gain, scale and shift, SiLU; NCHW, f32: the head of a block. One thread per pixel.
// Twin: shaders/src/ops/rms_norm_silu.rs::affine, reference
@group(0) @binding(0) var<storage, read_write> x: array<f32>;            // (b, c, hw)
@group(0) @binding(1) var<storage, read_write> gamma: array<f32>;        // (c)
@group(0) @binding(2) var<storage, read_write> scale_shift: array<f32>;  // (b, 2 c); anything where there is none
@group(0) @binding(3) var<storage, read_write> params: array<u32>;       // b, c, hw, 1 with a scale and shift
@group(0) @binding(4) var<storage, read_write> y: array<f32>;            // (b, c, hw)

#import rms

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let c_n = params[1];
    let hw = params[2];
    if (id.x >= hw || id.y >= params[0]) { return; }
    let base = id.y * c_n * hw + id.x;
    var ss = 0.0;
    for (var c = 0u; c < c_n; c++) {
        let v = x[base + c * hw];
        ss = fma(v, v, ss);
    }
    let r = inverse_rms(ss, c_n);
    let scales = id.y * 2u * c_n;
    for (var c = 0u; c < c_n; c++) {
        var u = x[base + c * hw] * r * gamma[c];
        if (params[3] != 0u) {
            u = fma(u, 1.0 + scale_shift[scales + c], scale_shift[scales + c_n + c]);
        }
        y[base + c * hw] = u / (1.0 + exp(-u));
    }
}
