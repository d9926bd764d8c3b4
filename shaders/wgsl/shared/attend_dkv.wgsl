// Backward of attend for keys and values, and for the null key and value; f32.
//
// A thread takes one key of one head of keys and walks the queries of all heads that share it. The null key comes after the
// last; what it gets is to be added up over images and heads of keys.
@group(0) @binding(0) var<storage, read_write> kv: array<vec4<f32>>;       // (b, m, 2, kv_heads, d / 4)
@group(0) @binding(1) var<storage, read_write> null_kv: array<vec4<f32>>;  // (2, d / 4); anything where there is none
@group(0) @binding(2) var<storage, read_write> mask: array<f32>;           // (b, masked): 0 for a key that is not there
@group(0) @binding(3) var<storage, read_write> dy: array<vec4<f32>>;       // (b, n, heads, d / 4)
@group(0) @binding(4) var<storage, read_write> made: array<vec4<f32>>;     // of attend_dq
@group(0) @binding(5) var<storage, read_write> params: array<u32>;         // b, n, m, heads, kv_heads, masked, 1 with a null
@group(0) @binding(6) var<storage, read_write> dkv: array<vec4<f32>>;      // as kv
@group(0) @binding(7) var<storage, read_write> dnull: array<vec4<f32>>;    // (b, kv_heads, 2, d / 4)

var<private> key: array<vec4<f32>, WIDTH>;
var<private> value: array<vec4<f32>, WIDTH>;
var<private> dkey: array<vec4<f32>, WIDTH>;
var<private> dvalue: array<vec4<f32>, WIDTH>;

// Sums over all queries, for the key and value that are there now.
fn gather(kv_head: u32, image: u32) {
    let n = params[1];
    let heads = params[3];
    let sharing = heads / params[4];
    var squares = 0.0;
    for (var i = 0u; i < WIDTH; i++) {
        squares += dot(key[i], key[i]);
        dkey[i] = vec4<f32>(0.0);
        dvalue[i] = vec4<f32>(0.0);
    }
    let shrink = 1.0 / max(sqrt(squares), 1e-12);
    for (var i = 0u; i < n * sharing; i++) {
        let index = (image * n + i / sharing) * heads + kv_head * sharing + i % sharing;
        let query = index * (3u * WIDTH + 1u) + 2u * WIDTH;
        let row = index * WIDTH;
        var logit = 0.0;
        var along = 0.0;
        for (var k = 0u; k < WIDTH; k++) {
            logit += dot(made[query + k], key[k]);
            along += dot(dy[row + k], value[k]);
        }
        let known = made[query + WIDTH];
        let share = exp(logit * shrink - known.x);
        let slope = share * (along - known.y);
        for (var k = 0u; k < WIDTH; k++) {
            dkey[k] += made[query + k] * slope;
            dvalue[k] += dy[row + k] * share;
        }
    }
    // Through the length: what points along the key goes.
    var along = 0.0;
    for (var i = 0u; i < WIDTH; i++) {
        along += dot(dkey[i], key[i]) * shrink;
    }
    for (var i = 0u; i < WIDTH; i++) {
        dkey[i] = (dkey[i] - key[i] * shrink * along) * shrink;
    }
}

fn gradient(index: u32, kv_head: u32, image: u32) {
    let m = params[2];
    let kv_heads = params[4];
    let masked = params[5];
    if (index > m || kv_head >= kv_heads || image >= params[0]) { return; }
    if (index == m) {
        if (params[6] == 0u) { return; }
        for (var i = 0u; i < WIDTH; i++) {
            key[i] = null_kv[i];
            value[i] = null_kv[WIDTH + i];
        }
        gather(kv_head, image);
        let to = (image * kv_heads + kv_head) * 2u * WIDTH;
        for (var i = 0u; i < WIDTH; i++) {
            dnull[to + i] = dkey[i];
            dnull[to + WIDTH + i] = dvalue[i];
        }
        return;
    }
    let at = ((image * m + index) * 2u * kv_heads + kv_head) * WIDTH;
    let beside = at + kv_heads * WIDTH;
    var there = true;
    if (index < masked) { there = mask[image * masked + index] != 0.0; }
    if (!there) {
        for (var i = 0u; i < WIDTH; i++) {
            dkv[at + i] = vec4<f32>(0.0);
            dkv[beside + i] = vec4<f32>(0.0);
        }
        return;
    }
    for (var i = 0u; i < WIDTH; i++) {
        key[i] = kv[at + i];
        value[i] = kv[beside + i];
    }
    gather(kv_head, image);
    for (var i = 0u; i < WIDTH; i++) {
        dkv[at + i] = dkey[i];
        dkv[beside + i] = dvalue[i];
    }
}
