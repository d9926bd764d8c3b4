// Backward of attention for keys and values, over heads of 32 features.
// Twin: shaders/src/ops/attend/plain.rs::backward
const WIDTH: u32 = 8u;  // vectors of a head

#import attend_dkv

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    gradient(id.x, id.y, id.z);
}
