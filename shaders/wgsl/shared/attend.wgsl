// Attention by cosine similarity with a learned null key and value: softmax(q k^T + mask) v of unit queries and keys,
// scaled by feature; f32.
//
// A thread makes one query of one head. It keeps the query and the sum of values in registers and walks the keys once:
// the sum is of exponentials relative to the largest logit so far, and is brought down whenever a larger one comes
// (Milakov and Gimelshein 2018, arXiv:1805.02867). No score is ever in memory. Neighbours are queries of one head, which
// read the same keys and values.
@group(0) @binding(0) var<storage, read_write> q: array<vec4<f32>>;      // (b, n, heads, d / 4)
@group(0) @binding(1) var<storage, read_write> kv: array<vec4<f32>>;     // (b, m, 2, kv_heads, d / 4)
@group(0) @binding(2) var<storage, read_write> null_kv: array<vec4<f32>>;  // (2, d / 4); anything where there is none
@group(0) @binding(3) var<storage, read_write> scale_q: array<vec4<f32>>;  // (d / 4)
@group(0) @binding(4) var<storage, read_write> scale_k: array<vec4<f32>>;  // (d / 4)
@group(0) @binding(5) var<storage, read_write> mask: array<f32>;         // (b, masked): 0 for a key that is not there
@group(0) @binding(6) var<storage, read_write> params: array<u32>;       // b, n, m, heads, kv_heads, masked, 1 with a null
@group(0) @binding(7) var<storage, read_write> y: array<vec4<f32>>;      // (b, n, heads, d / 4)

const FLOOR: f32 = -3.0e38;

struct State {
    highest: f32,
    total: f32,
}

var<private> query: array<vec4<f32>, WIDTH>;
var<private> sum: array<vec4<f32>, WIDTH>;

// One over the length of a vector, as torch's F.normalize guards it.
fn inverse_length(squares: f32) -> f32 {
    return 1.0 / max(sqrt(squares), 1e-12);
}

// How the sums so far, and the next value, are weighted when a logit comes.
fn weigh(state: ptr<function, State>, logit: f32) -> vec2<f32> {
    let highest = max((*state).highest, logit);
    let shares = exp(vec2<f32>((*state).highest, logit) - highest);
    (*state).highest = highest;
    (*state).total = fma((*state).total, shares.x, shares.y);
    return shares;
}

fn attend(position: u32, head: u32, image: u32) {
    let n = params[1];
    let m = params[2];
    let heads = params[3];
    let kv_heads = params[4];
    let masked = params[5];
    if (position >= n || head >= heads || image >= params[0]) { return; }

    let row = ((image * n + position) * heads + head) * WIDTH;
    var squares = 0.0;
    for (var i = 0u; i < WIDTH; i++) {
        let v = q[row + i];
        squares += dot(v, v);
    }
    // Logits are 8 times the cosine, and more by the scales.
    let length = 8.0 * inverse_length(squares);
    for (var i = 0u; i < WIDTH; i++) {
        query[i] = q[row + i] * length * scale_q[i] * scale_k[i];
        sum[i] = vec4<f32>(0.0);
    }

    var state = State(FLOOR, 0.0);
    if (params[6] != 0u) {
        var along = 0.0;
        squares = 0.0;
        for (var i = 0u; i < WIDTH; i++) {
            along += dot(query[i], null_kv[i]);
            squares += dot(null_kv[i], null_kv[i]);
        }
        let shares = weigh(&state, along * inverse_length(squares));
        for (var i = 0u; i < WIDTH; i++) {
            sum[i] = sum[i] * shares.x + null_kv[WIDTH + i] * shares.y;
        }
    }
    let kv_head = head / (heads / kv_heads);
    for (var key = 0u; key < m; key++) {
        if (key < masked) {
            if (mask[image * masked + key] == 0.0) { continue; }
        }
        let at = ((image * m + key) * 2u * kv_heads + kv_head) * WIDTH;
        var along = 0.0;
        squares = 0.0;
        for (var i = 0u; i < WIDTH; i++) {
            let v = kv[at + i];
            along += dot(query[i], v);
            squares += dot(v, v);
        }
        let shares = weigh(&state, along * inverse_length(squares));
        let value = at + kv_heads * WIDTH;
        for (var i = 0u; i < WIDTH; i++) {
            sum[i] = sum[i] * shares.x + kv[value + i] * shares.y;
        }
    }
    let share = 1.0 / state.total;
    for (var i = 0u; i < WIDTH; i++) {
        y[row + i] = sum[i] * share;
    }
}
