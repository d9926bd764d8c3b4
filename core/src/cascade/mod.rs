//! Stages in a row: a prompt in, pictures out.
//!
//! A front end sees a [`Request`] and a stream of [`Event`]s. It owns the loop: every [`Run::next`] does one step of one
//! stage and gives control back, so a run stops as soon as nobody asks for the next event.
//!
//! ```no_run
//! # async fn example(model: std::sync::Arc<firefall_core::cascade::Model>) -> Result<(), firefall_core::cascade::RunError> {
//! use firefall_core::cascade::{Event, Request, Run};
//! let mut run = Run::new(model, Request::one("a red circle on a blue background", 42))?;
//! while let Some(event) = run.next().await? {
//!     if let Event::Done { pictures } = event {
//!         assert_eq!(pictures.len(), 1);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub mod canvas;
pub mod config;
pub mod event;
pub mod lowres;
pub mod model;
pub mod request;
pub mod run;
mod size;
pub mod stage;
pub mod survey;

pub use canvas::Canvas;
pub use config::{LowresConfig, ModelConfig, SamplingConfig, StageConfig, TextModelConfig};
pub use event::Event;
pub use model::{Model, ModelError};
pub use request::{PictureRequest, Request, RequestError, StageSettings};
pub use run::{Run, RunError};
pub use stage::Stage;
pub use survey::Survey;
