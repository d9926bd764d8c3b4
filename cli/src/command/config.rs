//! `firefall config`: a commented default configuration.

use anyhow::Result;
use firefall_core::unet::UnetConfig;
use firefall_core::world::Mix;

use crate::args::{ConfigArgs, ConfigKind};
use crate::outcome::print;

pub(super) fn run(args: &ConfigArgs) -> Result<()> {
    match args.kind {
        ConfigKind::Train => print(&toml::to_string(&Mix::default())?),
        ConfigKind::Model => print(&toml::to_string(&UnetConfig::default())?),
    }
}
