//! Which CPU kernels have been seen to be wrong on this machine.
//!
//! Their instructions are chosen where they run, so those that run here may be others than were ever tested. They run from
//! the start; an op whose kernels differ from its plain body is left to that body. Nothing waits for a device here: what
//! flex has computed is in memory.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;

use super::{Answers, Ops, agree, instead, switched_on};
use crate::cpu;
use crate::ops::activation::Activation;
use crate::ops::attend::{Attend, Gradients, Inputs};
use crate::ops::conv3x3::Conv3x3;
use crate::ops::global_context::GlobalContext;
use crate::ops::layer_norm::LayerNorm;
use crate::ops::linear::Linear;
use crate::ops::pointwise::Pointwise;
use crate::ops::rms_norm_silu::RmsNormSilu;

/// An op that has kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KernelOp {
    RmsNormSilu,
    Conv3x3,
    Pointwise,
    Linear,
    LayerNorm,
    Attend,
    GlobalContext,
    Silu,
    Gelu,
}

impl KernelOp {
    pub(super) fn bit(self) -> Ops {
        1 << self as u32
    }

    /// The op whose name an answer begins with.
    pub(super) fn of(what: &str) -> Option<Self> {
        Some(match what.split(' ').next()? {
            "rms_norm_silu" | "block_norm" => Self::RmsNormSilu,
            "conv3x3" => Self::Conv3x3,
            "pointwise" => Self::Pointwise,
            "linear" => Self::Linear,
            "layer_norm" => Self::LayerNorm,
            "attend" => Self::Attend,
            "global_context" => Self::GlobalContext,
            "silu" => Self::Silu,
            "gelu" => Self::Gelu,
            _ => return None,
        })
    }
}

/// A bit for each op whose kernels are wrong here.
static REFUSED: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// This thread is asking the plain bodies.
    static PLAINLY: Cell<bool> = const { Cell::new(false) };
}

/// Whether the CPU kernels of `op` may run.
pub(crate) fn may_serve(op: KernelOp) -> bool {
    switched_on() && REFUSED.load(Ordering::Relaxed) & op.bit() == 0 && !PLAINLY.get()
}

/// What `ask` is answered by the plain bodies.
fn plainly(ask: fn() -> Answers) -> Answers {
    /// Ends it, also after a panic.
    struct Until;

    impl Drop for Until {
        fn drop(&mut self) {
            PLAINLY.set(false);
        }
    }

    PLAINLY.set(true);
    let _until = Until;
    ask()
}

/// What an op is asked, which takes its kernels through their whole vectors and what is left over, and how far its answers
/// may be from those of the plain body: so many times the largest of them, or 1 if that is more.
struct Question {
    op: KernelOp,
    ask: fn() -> Answers,
    tolerance: f32,
}

/// As in the table of the README.
const QUESTIONS: [Question; 9] = [
    Question { op: KernelOp::RmsNormSilu, ask: rms_norm_silu, tolerance: 2e-5 },
    Question { op: KernelOp::Conv3x3, ask: conv3x3, tolerance: 2e-5 },
    Question { op: KernelOp::Pointwise, ask: pointwise, tolerance: 2e-5 },
    Question { op: KernelOp::Linear, ask: linear, tolerance: 2e-5 },
    Question { op: KernelOp::LayerNorm, ask: layer_norm, tolerance: 2e-5 },
    Question { op: KernelOp::Attend, ask: attend, tolerance: 2e-5 },
    Question { op: KernelOp::GlobalContext, ask: global_context, tolerance: 2e-5 },
    Question { op: KernelOp::Silu, ask: silu, tolerance: 2e-6 },
    Question { op: KernelOp::Gelu, ask: gelu, tolerance: 2e-6 },
];

/// What is wrong with the kernels on this machine, looked at once in a process.
pub(super) fn verdict() -> Option<String> {
    static VERDICT: OnceLock<Option<String>> = OnceLock::new();
    VERDICT.get_or_init(|| examine(&QUESTIONS)).clone()
}

/// Leaves the ops that answer wrongly to their plain bodies, and names them.
fn examine(questions: &[Question]) -> Option<String> {
    let mut faults = Vec::new();
    for question in questions {
        if let Err(fault) = question.answered() {
            REFUSED.fetch_or(question.op.bit(), Ordering::Relaxed);
            faults.push(fault);
        }
    }
    (!faults.is_empty()).then(|| instead(&faults.join("; ")))
}

impl Question {
    fn answered(&self) -> Result<(), String> {
        let (known, got) = (plainly(self.ask), (self.ask)());
        for ((what, known), (_, got)) in known.iter().zip(&got) {
            let largest = known.iter().fold(1f32, |most, v| most.max(v.abs()));
            agree(what, "the kernel", [known, got], |_| self.tolerance * largest)?;
        }
        Ok(())
    }
}

/// Two waves, between -1.7 and 1.7.
fn given<const D: usize>(shape: [usize; D], phase: f32) -> FlexTensor {
    let value = |i: usize| (i as f32 * 12.9898 + phase).sin() * 1.3 + (i as f32 * 0.37 + phase).cos() * 0.4;
    cpu::tensor((0..shape.iter().product::<usize>()).map(value).collect(), Shape::new(shape))
}

fn numbers(t: &FlexTensor) -> Vec<f32> {
    cpu::slice(&t.to_contiguous()).to_vec()
}

fn rms_norm_silu() -> Answers {
    // Two blocks of pixels and a short one.
    let (x, affine) = (given([2, 5, 9, 15], 0.3), given([2, 2, 5], 0.8));
    let block = Flex::block_norm_modulated(x.clone(), given([5], 0.7), given([2, 10], 1.4));
    let mut answers = vec![
        ("rms_norm_silu", numbers(&Flex::rms_norm_silu(x.clone(), affine.clone()))),
        ("block_norm", numbers(&block)),
    ];
    if cfg!(feature = "autodiff") {
        let (dx, da) = Flex::rms_norm_silu_backward(x, affine, given([2, 5, 9, 15], 3.3));
        answers.extend([("rms_norm_silu dx", numbers(&dx)), ("rms_norm_silu da", numbers(&da))]);
    }
    answers
}

fn conv3x3() -> Answers {
    let mut answers = Vec::new();
    // By Winograd's filtering, with a short row of tiles and a short block of channels; and directly.
    let many = ["conv3x3 of many channels", "conv3x3 dx of many channels", "conv3x3 dw of many channels"];
    let few = ["conv3x3 of few channels", "conv3x3 dx of few channels", "conv3x3 dw of few channels"];
    for (shape, o, names) in [([2, 19, 5, 24], 17, many), ([2, 5, 5, 8], 10, few)] {
        let [b, c, h, w] = shape;
        let (x, weight) = (given(shape, 0.3), given([o, c, 3, 3], 1.1));
        answers.push((names[0], numbers(&Flex::conv3x3(x.clone(), weight.clone(), given([o], 2.0)))));
        if cfg!(feature = "autodiff") {
            let dy = given([b, o, h, w], 1.9);
            answers.push((names[1], numbers(&Flex::conv3x3_dx(x.clone(), weight.clone(), dy.clone()))));
            answers.push((names[2], numbers(&Flex::conv3x3_dw(x, weight, dy))));
        }
    }
    answers
}

fn pointwise() -> Answers {
    let y = Flex::pointwise(given([2, 8, 6, 12], 0.3), given([7, 8, 1, 1], 1.1), given([7], 2.0));
    vec![("pointwise", numbers(&y))]
}

fn linear() -> Answers {
    let y = Flex::linear(given([37, 20], 0.3), given([24, 20], 1.1), given([24], 2.0));
    vec![("linear", numbers(&y))]
}

fn layer_norm() -> Answers {
    let (x, gain) = (given([2, 35, 20], 0.3), given([20], 1.1));
    let y = Flex::layer_norm_affine(x.clone(), gain.clone(), given([20], 2.0));
    let mut answers = vec![("layer_norm", numbers(&y))];
    if cfg!(feature = "autodiff") {
        let (dx, dgain, doffset) = Flex::layer_norm_backward(x, gain, given([2, 35, 20], 3.3));
        answers.push(("layer_norm dx", numbers(&dx)));
        answers.push(("layer_norm dgain", numbers(&dgain)));
        answers.push(("layer_norm doffset", numbers(&doffset)));
    }
    answers
}

fn attend() -> Answers {
    let mut answers = Vec::new();
    // Heads that share their keys and heads with their own, one key in three not there; rows that are computed many
    // together and few, keys and features that fill two vectors and one more.
    for (n, d, kv_heads) in [(32, 32, 1), (33, 24, 2)] {
        let mask = (0..42).map(|i| if i % 3 == 0 { 0.0 } else { 1.0 }).collect();
        let inputs = Inputs::<Flex> {
            q: given([2, n, 2 * d], 0.3),
            kv: given([2, 21, 2 * kv_heads * d], 1.7),
            null: given([2, d], 0.6),
            scale_q: given([d], 0.9),
            scale_k: given([d], 2.2),
            mask: cpu::tensor(mask, Shape::new([2, 21])),
            with_null: true,
            masked: 21,
        };
        answers.push(("attend", numbers(&Flex::attend(inputs.clone()))));
        if cfg!(feature = "autodiff") {
            let Gradients { q, kv, null, scale_q, scale_k } = Flex::attend_backward(inputs, given([2, n, 2 * d], 3.3));
            let names = ["attend dq", "attend dkv", "attend dnull", "attend dscale_q", "attend dscale_k"];
            answers.extend(names.into_iter().zip([q, kv, null, scale_q, scale_k].iter().map(numbers)));
        }
    }
    answers
}

fn global_context() -> Answers {
    let (key, squeeze, expand) = (given([1, 12], 0.9), given([9, 12], 0.9), given([12, 9], 0.9));
    let (squeeze_bias, expand_bias) = (given([9], 0.4), given([12], 0.4));
    let y = Flex::global_context(given([2, 12, 135], 0.3), key, squeeze, squeeze_bias, expand, expand_bias);
    vec![("global_context", numbers(&y))]
}

/// From where both activations are nothing to where they are almost the identity, and a vector that is not full.
fn slope() -> FlexTensor {
    cpu::tensor((-120i8..=20).map(|i| f32::from(i) * 0.2).collect(), Shape::new([141]))
}

fn silu() -> Answers {
    let mut answers = vec![("silu", numbers(&Flex::silu_op(slope())))];
    if cfg!(feature = "autodiff") {
        answers.push(("silu dx", numbers(&Flex::silu_op_backward(slope(), given([141], 3.3)))));
    }
    answers
}

fn gelu() -> Answers {
    let mut answers = vec![("gelu", numbers(&Flex::gelu_op(slope())))];
    if cfg!(feature = "autodiff") {
        answers.push(("gelu dx", numbers(&Flex::gelu_op_backward(slope(), given([141], 3.3)))));
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product;

    /// The answers of SiLU, the fourth of them `off` by so much where the kernel gives it.
    fn spoilt(off: f32) -> Answers {
        let mut answers = silu();
        if !PLAINLY.get() {
            answers[0].1[3] += off;
        }
        answers
    }

    /// One test, because what is refused is state of the process.
    #[test]
    fn an_op_that_answers_wrongly_is_left_to_its_plain_body() {
        for Question { op, ask, .. } in &QUESTIONS {
            // Where Burn's product is the faster one, ours is not asked.
            let ours = product::pays() || !matches!(op, KernelOp::Linear | KernelOp::Pointwise);
            assert!(!ours || ask() != plainly(*ask), "{op:?}: other bits are the sign of a kernel");
        }
        assert_eq!(examine(&QUESTIONS), None);

        // Nothing by the kernel, almost nothing by the plain body.
        let tail = || numbers(&Flex::silu_op(cpu::tensor(vec![-60.0], Shape::new([1]))))[0];
        let wrong: [fn() -> Answers; 2] = [|| spoilt(1e-3), || spoilt(f32::NAN)];
        for ask in wrong {
            assert_eq!(tail(), 0.0);
            let fault = examine(&[Question { op: KernelOp::Silu, ask, tolerance: 2e-6 }]).unwrap();
            assert!(fault.contains("wrong here (silu: element 3 should be "), "{fault}");
            assert!(tail() < 0.0 && !may_serve(KernelOp::Silu) && may_serve(KernelOp::Gelu));
            assert_eq!(examine(&QUESTIONS), None, "what is refused is not asked");
            REFUSED.store(0, Ordering::Relaxed);
        }
    }
}
