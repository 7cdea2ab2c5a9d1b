//! What each command does.

use clap::CommandFactory;
use miroir_admin::{
    AcceptLoss, Condition, Done, Explanation, FindingList, ForceDeletion, Job, JobList, Layout, NewNode, NodeList,
    Outcome, Plan, Question, Repair, ReplaceNode, ReplicationFactor, Status, Throttle, Verification, Verify,
};
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use crate::backup::{self, Written};
use crate::cli::{self, Change, Cli, Command, Form, NodeCommand, RebalanceCommand, ShardCommand};
use crate::client::{Answer, Client};
use crate::confirm::confirm;
use crate::exit::{Exit, Failure};
use crate::output::{self, Paint};
use crate::{adopt, reference, show, simulate, watch};

/// What commands share.
struct Session {
    client: Client,
    form: Form,
    connection: cli::Connection,
}

/// Runs a command.
pub async fn run(cli: Cli) -> Result<Exit, Failure> {
    let form = cli.output;
    match &cli.command {
        Command::Simulate(arguments) => return simulate::run(arguments, form).map(|()| Exit::Fine),
        Command::Completions { shell } => {
            // Whoever reads them may have had enough: that is not this command's fault.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "miroirctl", &mut script);
            return output::line(String::from_utf8_lossy(&script).trim_end()).map(|()| Exit::Fine);
        }
        Command::Reference => return output::line(reference::page().trim_end()).map(|()| Exit::Fine),
        _ => {}
    }
    let session = Session { client: Client::new(&cli.connection)?, form, connection: cli.connection };
    session.run(cli.command).await
}

impl Session {
    async fn run(&self, command: Command) -> Result<Exit, Failure> {
        match command {
            Command::Status => self.status().await,
            Command::Adopt(arguments) => adopt::run(&self.client, self.form, self.connection.timeout, arguments).await,
            Command::Node(command) => self.node(command).await,
            Command::Rebalance(command) => self.rebalance(command).await,
            Command::Rf { replication_factor, change } => {
                let body = ReplicationFactor { replication_factor };
                let question = format!("Keep {replication_factor} copies of each shard?");
                self.change(Method::PUT, &["replication-factor"], &[], &body, &question, &change).await
            }
            Command::Repair { node } => {
                let answer: Answer<Done> = self.client.post(&["repair"], &[], &Repair { node }).await?;
                self.print(&answer, |done| done.message.clone())
            }
            Command::Verify { index, last } => self.verify(index, last).await,
            Command::Findings { acknowledge } => self.findings(acknowledge).await,
            Command::Shards { placement } => {
                let answer: Answer<Layout> = self.client.get(&["shards"]).await?;
                show::has_placement(&answer.read, placement)?;
                self.print(&answer, |layout| show::grid(layout, placement, Paint::detect()))
            }
            Command::Shard(ShardCommand::AcceptLoss { shards, node, placement, yes }) => {
                self.accept_loss(AcceptLoss { node, placement, shards, confirm: true }, yes).await
            }
            Command::Shard(ShardCommand::ForceDeletion { yes }) => {
                confirm("Are the Envoys of all silent filters gone for good?", yes)?;
                let body = ForceDeletion { confirm: true };
                let answer: Answer<Done> = self.client.post(&["shards", "force-deletion"], &[], &body).await?;
                self.print(&answer, |done| done.message.clone())
            }
            Command::Backup { file, force } => {
                let written = backup::fetch(&self.client, &file, force).await?;
                let json = serde_json::to_value(&written).unwrap_or_default();
                output::data(self.form, &json, || {
                    let Written { file, cluster, bytes, tasks } = &written;
                    format!("{}: cluster {cluster}, {tasks} tasks, {}", file.display(), output::size(*bytes))
                })?;
                Ok(Exit::Fine)
            }
            Command::Explain { query, index, search, filters } => {
                let mut search = search.unwrap_or_else(|| Value::Object(Default::default()));
                if let Some(object) = search.as_object_mut().filter(|_| !query.is_empty()) {
                    object.insert("q".to_owned(), Value::String(query));
                }
                let answer: Answer<Explanation> =
                    self.client.post(&["explain"], &[], &Question { index, search }).await?;
                self.print(&answer, |explanation| show::explain(explanation, filters))
            }
            Command::Simulate(_) | Command::Completions { .. } | Command::Reference => Ok(Exit::Fine),
        }
    }

    fn print<T>(&self, answer: &Answer<T>, text: impl FnOnce(&T) -> String) -> Result<Exit, Failure> {
        output::data(self.form, &answer.json, || text(&answer.read))?;
        Ok(Exit::Fine)
    }

    async fn status(&self) -> Result<Exit, Failure> {
        let answer: Answer<Status> = self.client.get(&["status"]).await?;
        self.print(&answer, |status| show::status(status, Paint::detect()))?;
        Ok(match answer.read.condition {
            Condition::Fine => Exit::Fine,
            Condition::Degraded => Exit::Degraded,
            Condition::Down => Exit::Down,
        })
    }

    async fn node(&self, command: NodeCommand) -> Result<Exit, Failure> {
        match command {
            NodeCommand::List => {
                let answer: Answer<NodeList> = self.client.get(&["nodes"]).await?;
                self.print(&answer, |list| show::nodes(&list.nodes))
            }
            NodeCommand::Add { id, address, node, change } => {
                let question = format!("Take {id} in and move its share of the shards to it?");
                let body = new_node(id, address, node);
                self.change(Method::POST, &["nodes"], &[], &body, &question, &change).await
            }
            NodeCommand::Drain { node, change } => {
                let question = format!("Move all shards of {node} to other nodes?");
                self.change(Method::POST, &["nodes", &node, "drain"], &[], &(), &question, &change).await
            }
            NodeCommand::Remove { node, force, change } => {
                let question = match force {
                    true => format!("Forget {node}, and give up what only it has?"),
                    false => format!("Forget {node}?"),
                };
                let query = [("force", force)];
                self.change(Method::DELETE, &["nodes", &node], &query, &(), &question, &change).await
            }
            NodeCommand::Replace { node, with, to, new, change } => {
                if with.is_none() && (new.weight.is_some() || new.zone.is_some() || new.tls_ca.is_some()) {
                    let text = "--weight, --zone and --tls-ca are of a new node: name it by --with.";
                    return Err(Failure::new(Exit::Usage, text));
                }
                let (question, body) = match (with, to) {
                    (Some(id), Some(url)) => (
                        format!("Put {id} in the place of {node}?"),
                        ReplaceNode { with: Some(new_node(id, url, new)), url: None },
                    ),
                    (_, url) => (format!("Fill {node} anew, on an empty disk?"), ReplaceNode { with: None, url }),
                };
                self.change(Method::POST, &["nodes", &node, "replace"], &[], &body, &question, &change).await
            }
        }
    }

    async fn rebalance(&self, command: RebalanceCommand) -> Result<Exit, Failure> {
        match command {
            RebalanceCommand::Plan => {
                let change = Change { dry_run: true, yes: true, wait: false };
                self.change(Method::POST, &["rebalance"], &[], &(), "", &change).await
            }
            RebalanceCommand::Start { change } => {
                self.change(Method::POST, &["rebalance"], &[], &(), "Even out what the nodes hold?", &change).await
            }
            RebalanceCommand::Status { job: None } => {
                let answer: Answer<JobList> = self.client.get(&["jobs"]).await?;
                self.print(&answer, |list| show::jobs(&list.jobs))
            }
            RebalanceCommand::Status { job: Some(job) } => {
                let answer: Answer<Job> = self.client.get(&["jobs", &job.to_string()]).await?;
                self.print(&answer, |job| show::jobs(std::slice::from_ref(job)))
            }
            RebalanceCommand::Wait { job } => self.wait(job).await,
            RebalanceCommand::Pause { job } => self.job(job, "pause").await,
            RebalanceCommand::Resume { job } => self.job(job, "resume").await,
            RebalanceCommand::Cancel { job } => self.job(job, "cancel").await,
            RebalanceCommand::Throttle { documents_per_second, bytes_per_second, moves } => {
                let body = Throttle { documents_per_second, bytes_per_second, moves };
                let answer: Answer<Done> = self.client.ask(Method::PUT, &["throttle"], &[], Some(&body)).await?;
                self.print(&answer, |done| done.message.clone())
            }
        }
    }

    async fn job(&self, job: u64, verb: &str) -> Result<Exit, Failure> {
        let answer: Answer<Job> = self.client.post(&["jobs", &job.to_string(), verb], &[], &()).await?;
        self.print(&answer, show::job_line)
    }

    async fn wait(&self, job: Option<u64>) -> Result<Exit, Failure> {
        let (jobs, json) = watch::wait(&self.client, job, self.connection.timeout).await?;
        output::data(self.form, &json, || show::jobs(&jobs))?;
        match jobs.iter().find(|job| job.state == miroir_admin::JobState::Cancelled).filter(|_| job.is_some()) {
            Some(job) => Err(Failure::new(Exit::Failed, format!("Job {} was cancelled.", job.id))),
            None => Ok(Exit::Fine),
        }
    }

    /// A change that makes a job: planned, confirmed, started, waited for.
    async fn change(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, bool)],
        body: &impl Serialize,
        question: &str,
        change: &Change,
    ) -> Result<Exit, Failure> {
        let mut query = query.to_vec();
        query.push(("dryRun", change.dry_run));
        if !change.dry_run {
            confirm(question, change.yes)?;
        }
        let answer: Answer<Outcome> = self.client.ask(method, path, &query, Some(body)).await?;
        let job = answer.read.job.as_ref().map(|job| job.id);
        if !(change.wait && job.is_some() && self.form == Form::Json) {
            output::data(self.form, &answer.json, || outcome(&answer.read))?;
        }
        match job {
            Some(job) if change.wait => self.wait(Some(job)).await,
            Some(job) => {
                output::say(&format!("It goes on by itself. To watch: miroirctl rebalance wait {job}"));
                Ok(Exit::Fine)
            }
            None => Ok(Exit::Fine),
        }
    }

    async fn verify(&self, index: Option<String>, last: bool) -> Result<Exit, Failure> {
        if !last {
            let _: Answer<Verification> = self.client.post(&["verify"], &[], &Verify { index }).await?;
        }
        let answer = watch::verification(&self.client, self.connection.timeout).await?;
        self.print(&answer, show::verification)?;
        Ok(verified(&answer.read))
    }

    async fn findings(&self, acknowledge: bool) -> Result<Exit, Failure> {
        if acknowledge {
            let answer: Answer<Done> = self.client.post(&["findings", "acknowledge"], &[], &()).await?;
            return self.print(&answer, |done| done.message.clone());
        }
        let answer: Answer<FindingList> = self.client.get(&["findings"]).await?;
        self.print(&answer, show::findings)?;
        let open = answer.read.findings.iter().any(|drift| !drift.acknowledged);
        Ok(if open { Exit::Findings } else { Exit::Fine })
    }

    async fn accept_loss(&self, body: AcceptLoss, yes: bool) -> Result<Exit, Failure> {
        let question = format!(
            "Take the copies of {} on {} as they are, and give up what newer copies out of reach have?",
            output::ranges(&body.shards),
            body.node
        );
        confirm(&question, yes)?;
        let answer: Answer<miroir_admin::Loss> = self.client.post(&["shards", "accept-loss"], &[], &body).await?;
        self.print(&answer, show::loss)
    }
}

fn new_node(id: String, url: String, node: cli::NewNode) -> NewNode {
    NewNode { id, url, weight: node.weight, zone: node.zone, tls_ca: node.tls_ca }
}

fn outcome(outcome: &Outcome) -> String {
    let plan = outcome.plan.as_ref().map(|plan: &Plan| show::plan(plan));
    let done = outcome.done.as_ref().map(|done| done.message.clone());
    let loss = outcome.loss.as_ref().map(show::loss);
    let job = outcome.job.as_ref().map(show::job_line);
    [plan, done, loss, job].into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// A shard whose nodes did not answer, or whose documents were written all the time, is not known to be equal.
fn verified(found: &Verification) -> Exit {
    if found.findings_total > 0 {
        Exit::Findings
    } else if found.unanswered > 0 || found.undecided > 0 {
        Exit::Degraded
    } else {
        Exit::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_that_could_not_be_compared_do_not_count_as_equal() {
        let code = |findings_total, unanswered, undecided| {
            verified(&Verification { findings_total, unanswered, undecided, ..Verification::default() })
        };
        assert_eq!((code(0, 0, 0), code(0, 1, 0), code(0, 0, 2)), (Exit::Fine, Exit::Degraded, Exit::Degraded));
        assert_eq!(code(1, 1, 1), Exit::Findings);
    }
}
