// Backward of rms_norm_silu for gains and offsets: sums over the pixels of one channel of one image.
// One workgroup per (image, channel). Twin: shaders/src/ops/rms_norm_silu.rs::reference_backward
@group(0) @binding(0) var<storage, read_write> x: array<f32>;        // (b, c, hw)
@group(0) @binding(1) var<storage, read_write> affine: array<f32>;   // (b, 2, c)
@group(0) @binding(2) var<storage, read_write> dy: array<f32>;       // (b, c, hw)
@group(0) @binding(3) var<storage, read_write> rms: array<f32>;      // (b, hw)
@group(0) @binding(4) var<storage, read_write> params: array<u32>;   // b, c, hw
@group(0) @binding(5) var<storage, read_write> daffine: array<f32>;  // (b, 2, c)

#import rms

var<workgroup> partial: array<vec2<f32>, 64>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) wg: vec3<u32>) {
    let c_n = params[1];
    let hw = params[2];
    let base = (wg.y * c_n + wg.x) * hw;
    let gain = wg.y * 2u * c_n + wg.x;
    let a = affine[gain];
    let t = affine[gain + c_n];
    var sum = vec2<f32>(0.0);
    for (var p = lane; p < hw; p += 64u) {
        let n = x[base + p] * rms[wg.y * hw + p];
        let g = dy[base + p] * silu_slope(fma(n, a, t));
        sum += vec2<f32>(g * n, g);
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var s = 32u; s > 0u; s = s >> 1u) {
        if (lane < s) { partial[lane] += partial[lane + s]; }
        workgroupBarrier();
    }
    if (lane == 0u) {
        daffine[gain] = partial[0].x;
        daffine[gain + c_n] = partial[0].y;
    }
}
