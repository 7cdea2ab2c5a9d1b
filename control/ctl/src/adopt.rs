//! `miroirctl adopt`.

use std::time::Duration;

use miroir_admin::Adoption;

use crate::cli::{Change, Form};
use crate::client::{Answer, Client};
use crate::confirm::confirm;
use crate::exit::{Exit, Failure};
use crate::{output, show, watch};

/// What is adopted, and how.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Its id, to be sure that it is the one that is meant.
    node: Option<String>,
    #[command(flatten)]
    change: Change,
}

/// Looks, asks, and adopts.
pub async fn run(
    client: &Client,
    form: Form,
    timeout: Option<Duration>,
    arguments: Arguments,
) -> Result<Exit, Failure> {
    let Arguments { node, change } = arguments;
    let print = |answer: &Answer<Adoption>| output::data(form, &answer.json, || show::adoption(&answer.read));
    let answer: Answer<Adoption> = client.get(&["adopt"]).await?;
    let found = &answer.read;
    if let Some(other) = node.filter(|node| *node != found.node) {
        return Err(Failure::new(Exit::Refused, format!("the node to be adopted is {}, not {other}", found.node)));
    }
    if change.dry_run || !found.refusals.is_empty() {
        print(&answer)?;
        return Ok(if found.refusals.is_empty() { Exit::Fine } else { Exit::Refused });
    }
    if !change.yes {
        output::say(&show::adoption(found));
    }
    confirm(&format!("Adopt {}?", found.node), change.yes)?;
    print(&client.post(&["adopt"], &[], &()).await?)?;
    if change.wait {
        watch::tagging(client, timeout).await?;
    }
    Ok(Exit::Fine)
}
