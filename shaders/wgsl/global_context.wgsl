// The gate of a global context (GCNet, arXiv:1904.11492): the mean of all pixels by the softmax of one logit each, then two
// small layers, SiLU between them and a sigmoid at the end; f32.
// Twin: shaders/src/ops/global_context.rs::reference
//
// A workgroup makes an image. It walks the pixels once, as many at a time as it has threads: a logit a thread, then the
// threads of every channel add up what the shares make of it. Sums are relative to the largest logit so far, and are brought
// down whenever a larger one comes (arXiv:1805.02867).
@group(0) @binding(0) var<storage, read_write> x: array<f32>;             // (b, c, hw)
@group(0) @binding(1) var<storage, read_write> key: array<f32>;           // (c)
@group(0) @binding(2) var<storage, read_write> squeeze: array<f32>;       // (d, c)
@group(0) @binding(3) var<storage, read_write> squeeze_bias: array<f32>;  // (d)
@group(0) @binding(4) var<storage, read_write> expand: array<f32>;        // (c, d)
@group(0) @binding(5) var<storage, read_write> expand_bias: array<f32>;   // (c)
@group(0) @binding(6) var<storage, read_write> params: array<u32>;        // c, hw, d; c and d at most 256
@group(0) @binding(7) var<storage, read_write> y: array<f32>;             // (b, c)

const THREADS: u32 = 256u;
const ROWS: u32 = 16u;
const FLOOR: f32 = -3.0e38;

var<workgroup> shares: array<f32, THREADS>;
var<workgroup> sums: array<f32, THREADS>;
var<workgroup> mean: array<f32, THREADS>;
var<workgroup> pixels: u32;

// What is no number stays so, seen by its bits: exp need not keep it, and where it does not the gate would be 0.
fn sigmoid(v: f32) -> f32 {
    let is_nan = (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
    return select(1.0 / (1.0 + exp(-v)), v, is_nan);
}

@compute @workgroup_size(256, 1, 1)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    // For the barriers the bound of the loop must be the same in all threads, in a way a compiler can see.
    if (lane == 0u) { pixels = params[1]; }
    let hw = workgroupUniformLoad(&pixels);
    let channels = min(params[0], THREADS);
    let inside = min(params[2], THREADS);
    let image = group.x * channels * hw;
    // Threads of a channel; those that are left over have none.
    let parts = THREADS / channels;
    let channel = lane / parts;
    let plane = image + min(channel, channels - 1u) * hw;

    var highest = FLOOR;
    var total = 0.0;
    var sum = 0.0;
    for (var start = 0u; start < hw; start += THREADS) {
        let count = min(THREADS, hw - start);
        var logit = FLOOR;
        if (lane < count) {
            logit = 0.0;
            for (var c = 0u; c < channels; c++) {
                logit = fma(key[c], x[image + c * hw + start + lane], logit);
            }
        }
        shares[lane] = logit;
        workgroupBarrier();
        if (lane < ROWS) {
            var row = FLOOR;
            for (var i = 0u; i < THREADS / ROWS; i++) {
                row = max(row, shares[lane * (THREADS / ROWS) + i]);
            }
            sums[lane] = row;
        }
        workgroupBarrier();
        var now = highest;
        for (var i = 0u; i < ROWS; i++) {
            now = max(now, sums[i]);
        }
        shares[lane] = select(0.0, exp(logit - now), lane < count);
        let kept = exp(highest - now);
        highest = now;
        sum *= kept;
        total *= kept;
        workgroupBarrier();
        if (channel < channels) {
            for (var i = lane % parts; i < count; i += parts) {
                sum = fma(shares[i], x[plane + start + i], sum);
                total += shares[i];
            }
        }
        workgroupBarrier();
    }
    sums[lane] = sum;
    shares[lane] = total;
    workgroupBarrier();
    if (lane < channels) {
        var over = 0.0;
        var under = 0.0;
        for (var i = lane * parts; i < (lane + 1u) * parts; i++) {
            over += sums[i];
            under += shares[i];
        }
        mean[lane] = over / under;
    }
    workgroupBarrier();
    if (lane < inside) {
        var v = squeeze_bias[lane];
        for (var c = 0u; c < channels; c++) {
            v = fma(squeeze[lane * channels + c], mean[c], v);
        }
        sums[lane] = v * sigmoid(v);
    }
    workgroupBarrier();
    if (lane < channels) {
        var v = expand_bias[lane];
        for (var i = 0u; i < inside; i++) {
            v = fma(expand[lane * inside + i], sums[i], v);
        }
        y[group.x * channels + lane] = sigmoid(v);
    }
}
