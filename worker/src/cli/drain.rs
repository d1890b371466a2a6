// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe drain`: the daemon finishes what runs, starts nothing, and ends.

use clap::Args;

use super::{
    Failure,
    daemon::{SocketArgs, with_daemon},
    exit,
    verify::write_out,
};
use crate::control::{Drain, Nothing};

/// Finish what runs, start nothing, and end the daemon
///
/// Stages that run are finished; sectors that are not done go on when the daemon is started again.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  sealpipe drain --wait && systemctl reboot")]
pub struct DrainArgs {
    /// Wait until the daemon has ended
    #[arg(long)]
    wait: bool,

    #[command(flatten)]
    socket: SocketArgs,
}

/// Runs the command.
pub fn run(args: DrainArgs) -> Result<u8, Failure> {
    with_daemon(&args.socket, async |client| {
        client.ask::<Drain>(&Nothing {}).await?;
        if !args.wait {
            write_out("the daemon finishes what runs, and ends\n")?;
            return Ok(exit::OK);
        }
        client.gone().await;
        write_out("the daemon has ended\n")?;
        Ok(exit::OK)
    })
}
