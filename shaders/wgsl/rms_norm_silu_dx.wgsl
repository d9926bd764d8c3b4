// Backward of rms_norm_silu for its input. With n = x r, u = n a + t, g = dL/dy silu'(u) a:
// dL/dx = r (g - n mean_c(g n)). Also leaves r for the kernel that sums over pixels.
// Twin: shaders/src/ops/rms_norm_silu.rs::reference_backward
@group(0) @binding(0) var<storage, read_write> x: array<f32>;       // (b, c, hw)
@group(0) @binding(1) var<storage, read_write> affine: array<f32>;  // (b, 2, c)
@group(0) @binding(2) var<storage, read_write> dy: array<f32>;      // (b, c, hw)
@group(0) @binding(3) var<storage, read_write> params: array<u32>;  // b, c, hw
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;      // (b, c, hw)
@group(0) @binding(5) var<storage, read_write> rms: array<f32>;     // (b, hw)

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
    rms[id.y * hw + id.x] = r;
    let gain = id.y * 2u * c_n;
    var dot = 0.0;
    for (var c = 0u; c < c_n; c++) {
        let n = x[base + c * hw] * r;
        let a = affine[gain + c];
        let g = dy[base + c * hw] * silu_slope(fma(n, a, affine[gain + c_n + c])) * a;
        dot = fma(g, n, dot);
        dx[base + c * hw] = g;
    }
    dot = dot / f32(c_n);
    for (var c = 0u; c < c_n; c++) {
        let n = x[base + c * hw] * r;
        dx[base + c * hw] = r * (dx[base + c * hw] - n * dot);
    }
}
