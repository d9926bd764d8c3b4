// Backward of attend for the queries, and what attend_dkv goes on with; f32.
//
// A thread takes one query of one head and walks the keys twice: for the sum of exponentials and the mean of what dy makes
// of the values, and then for the gradient. No score is ever in memory.
@group(0) @binding(0) var<storage, read_write> q: array<vec4<f32>>;        // (b, n, heads, d / 4)
@group(0) @binding(1) var<storage, read_write> kv: array<vec4<f32>>;       // (b, m, 2, kv_heads, d / 4)
@group(0) @binding(2) var<storage, read_write> null_kv: array<vec4<f32>>;  // (2, d / 4); anything where there is none
@group(0) @binding(3) var<storage, read_write> scale: array<vec4<f32>>;    // (d / 4), the product of both scales
@group(0) @binding(4) var<storage, read_write> mask: array<f32>;           // (b, masked): 0 for a key that is not there
@group(0) @binding(5) var<storage, read_write> dy: array<vec4<f32>>;       // (b, n, heads, d / 4)
@group(0) @binding(6) var<storage, read_write> params: array<u32>;         // b, n, m, heads, kv_heads, masked, 1 with a null
@group(0) @binding(7) var<storage, read_write> made: array<vec4<f32>>;     // (b, n, heads, 3 d / 4 + 1), see the end

const FLOOR: f32 = -3.0e38;

struct State {
    highest: f32,
    total: f32,
    mean: f32,  // of dy over the values, times the total
}

// What a key is to the query: its logit, what dy makes of its value, and one over its length.
struct Key {
    logit: f32,
    along: f32,
    shrink: f32,
}

var<private> query: array<vec4<f32>, WIDTH>;
var<private> above: array<vec4<f32>, WIDTH>;
var<private> slope: array<vec4<f32>, WIDTH>;

// One over the length of a vector, as torch's F.normalize guards it.
fn inverse_length(squares: f32) -> f32 {
    return 1.0 / max(sqrt(squares), 1e-12);
}

fn key_at(key: u32, value: u32) -> Key {
    var logit = 0.0;
    var along = 0.0;
    var squares = 0.0;
    for (var i = 0u; i < WIDTH; i++) {
        let k = kv[key + i];
        logit += dot(query[i], k);
        squares += dot(k, k);
        along += dot(above[i], kv[value + i]);
    }
    let shrink = inverse_length(squares);
    return Key(logit * shrink, along, shrink);
}

fn null_key() -> Key {
    var logit = 0.0;
    var along = 0.0;
    var squares = 0.0;
    for (var i = 0u; i < WIDTH; i++) {
        let k = null_kv[i];
        logit += dot(query[i], k);
        squares += dot(k, k);
        along += dot(above[i], null_kv[WIDTH + i]);
    }
    let shrink = inverse_length(squares);
    return Key(logit * shrink, along, shrink);
}

fn weigh(state: ptr<function, State>, key: Key) {
    let highest = max((*state).highest, key.logit);
    let shares = exp(vec2<f32>((*state).highest, key.logit) - highest);
    (*state).highest = highest;
    (*state).total = fma((*state).total, shares.x, shares.y);
    (*state).mean = fma((*state).mean, shares.x, shares.y * key.along);
}

fn is_there(image: u32, key: u32) -> bool {
    let masked = params[5];
    if (key >= masked) { return true; }
    return mask[image * masked + key] != 0.0;
}

fn gradient(position: u32, head: u32, image: u32) {
    let n = params[1];
    let m = params[2];
    let heads = params[3];
    let kv_heads = params[4];
    if (position >= n || head >= heads || image >= params[0]) { return; }

    let index = (image * n + position) * heads + head;
    let row = index * WIDTH;
    var squares = 0.0;
    for (var i = 0u; i < WIDTH; i++) {
        let v = q[row + i];
        squares += dot(v, v);
    }
    let shrink = inverse_length(squares);
    for (var i = 0u; i < WIDTH; i++) {
        query[i] = q[row + i] * 8.0 * shrink * scale[i];
        above[i] = dy[row + i];
        slope[i] = vec4<f32>(0.0);
    }

    let kv_head = head / (heads / kv_heads);
    let first = (image * m * 2u * kv_heads + kv_head) * WIDTH;
    let step = 2u * kv_heads * WIDTH;
    var state = State(FLOOR, 0.0, 0.0);
    if (params[6] != 0u) { weigh(&state, null_key()); }
    for (var key = 0u; key < m; key++) {
        if (!is_there(image, key)) { continue; }
        let at = first + key * step;
        weigh(&state, key_at(at, at + kv_heads * WIDTH));
    }
    let level = state.highest + log(state.total);
    let mean = state.mean / state.total;

    if (params[6] != 0u) {
        let key = null_key();
        let along = exp(key.logit - level) * (key.along - mean) * key.shrink;
        for (var i = 0u; i < WIDTH; i++) {
            slope[i] += null_kv[i] * along;
        }
    }
    for (var j = 0u; j < m; j++) {
        if (!is_there(image, j)) { continue; }
        let at = first + j * step;
        let key = key_at(at, at + kv_heads * WIDTH);
        let along = exp(key.logit - level) * (key.along - mean) * key.shrink;
        for (var i = 0u; i < WIDTH; i++) {
            slope[i] += kv[at + i] * along;
        }
    }

    // Through the scales, and then through the length: what points along the query goes.
    var along = 0.0;
    for (var i = 0u; i < WIDTH; i++) {
        along += dot(q[row + i] * shrink, slope[i] * 8.0 * scale[i]);
    }
    let to = index * (3u * WIDTH + 1u);
    for (var i = 0u; i < WIDTH; i++) {
        let unit = q[row + i] * shrink;
        made[to + i] = (slope[i] * 8.0 * scale[i] - unit * along) * shrink;  // the gradient of the query
        made[to + WIDTH + i] = slope[i] * 8.0 * unit;                        // that of the product of the scales
        made[to + 2u * WIDTH + i] = query[i];
    }
    made[to + 3u * WIDTH] = vec4<f32>(level, mean, 0.0, 0.0);
}
