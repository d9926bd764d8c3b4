//! The shapes world: captioned pictures of which everything is known.
//!
//! A [`Statement`] is what a caption says. It is the one thing that the three sides of this module share:
//!
//! ```text
//!                 ┌─ Statement::scene ──► Scene ──► render ──► Picture ──► parse ──► Parsed ─┐
//!    Statement ───┤                                                                          ├─► Verdict
//!                 ├─ Statement::caption ──► text                                             │
//!                 └─ Statement::judge ───────────────────────────────────────────────────────┘
//! ```
//!
//! Training calls [`draw`], which makes a statement by a [`Mix`] of kinds, a scene of which it is true, and a caption.
//! Evaluation takes statements from [`prompts()`], reads the model's pictures with [`parse()`] and judges them; what the
//! parser itself gets wrong is published by [`confusion`] and [`ceiling`].
//!
//! Read the files in this order: [`palette`], [`shape`] and [`scene`] are the nouns; [`statement`], [`layout`] and
//! [`caption`] turn what is said into a scene and a sentence; [`mix`] and [`training`] are the training set, with
//! [`splits`] kept out of it; [`outline`], `raster` and [`mod@render`] draw; [`mod@parse`] reads back; [`mod@prompts`],
//! [`judge`], [`marginals`], [`degrade`] and [`calibrate`] are the evaluation, [`edit`] that of inpainting. [`digits`] is a
//! smaller world beside it.
//!
//! Lengths are in units of the picture's side, with x to the right and y down from the top left corner; angles are in
//! degrees, clockwise as seen.

pub mod calibrate;
pub mod caption;
pub mod degrade;
pub mod digits;
pub mod edit;
pub mod judge;
pub mod layout;
pub mod marginals;
pub mod mix;
pub mod outline;
pub mod palette;
pub mod parse;
pub mod prompts;
mod raster;
pub mod render;
pub mod scene;
pub mod shape;
pub mod splits;
pub mod statement;
pub mod training;
mod words;

pub use calibrate::{Confusion, ceiling, confusion};
pub use digits::{DigitSample, digit_captions, draw_digit};
pub use edit::{Edit, EditFault, EditTask};
pub use judge::{Fault, Verdict, judge_picture, wilson};
pub use layout::Unplaceable;
pub use marginals::Marginals;
pub use mix::{BadMix, Kinds, Mix};
pub use outline::Font;
pub use palette::Colour;
pub use parse::{Parsed, ParsedObject, Unreadable, parse};
pub use prompts::{Category, EvalPrompt, example_scene, prompts};
pub use render::{render, sheet};
pub use scene::{BadScene, Object, Region, Relation, Scene, Size};
pub use shape::Shape;
pub use statement::{Group, Statement};
pub use training::{Sample, draw};
pub use words::UnknownWord;
