//! `rootcellar agent`: who may get a certificate, and as what.

use audit::ProvenEntry;
use cell::{AgentId, DnsName, Role, Tag};
use clap::{Args, Subcommand, ValueEnum};
use ledger::entry::AgentRecord;
use ledger::entry::entry::Kind;
use proto::v1::{
    self, CreateAgentBody, DeleteAgentBody, GetAgentRequest, ListAgentsRequest, UpdateAgentBody,
};
use serde::Serialize;

use super::view;
use crate::client::caller;
use crate::client::pages::{PAGE, Pages};
use crate::client::{As, request_id};
use crate::error::Failure;
use crate::output::{Page, Show};
use crate::session::Session;
use client::Caller;

/// Create, change, delete and show agents, as their controller
#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    List(List),
    Show(ShowOne),
    Create(Create),
    Update(Update),
    Delete(Delete),
}

/// List the agents of a controller
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar agent list --output json")]
pub(crate) struct List {
    #[command(flatten)]
    who: As,
}

/// Show one agent
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar agent show build/logger-1")]
pub(crate) struct ShowOne {
    /// The agent's id
    agent: AgentId,
    #[command(flatten)]
    who: As,
}

/// What an agent is.
#[derive(Debug, Args)]
pub(crate) struct Traits {
    /// A role of the agent; repeat for more
    #[arg(long, value_name = "ROLE")]
    pub(super) role: Vec<Role>,
    /// A tag of the agent; repeat for more
    #[arg(long, value_name = "TAG")]
    pub(super) tag: Vec<Tag>,
    /// A DNS name of the agent; repeat for more
    #[arg(long, value_name = "NAME")]
    pub(super) dns: Vec<DnsName>,
}

/// Create an agent, owned by the controller
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar agent create build/logger-1 --role logger --tag blue")]
pub(crate) struct Create {
    /// The agent's id
    agent: AgentId,
    #[command(flatten)]
    traits: Traits,
    #[command(flatten)]
    who: As,
}

/// Change an agent; its certificates show it from the next one on
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  rootcellar agent update build/logger-1 --role logger --role scanner --clear tags"
)]
pub(crate) struct Update {
    /// The agent's id
    agent: AgentId,
    #[command(flatten)]
    traits: Traits,
    /// Take all of these away; repeat for more
    #[arg(long, value_name = "WHAT", value_enum)]
    clear: Vec<Clear>,
    /// Issue certificates for it again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Issue no more certificates for it
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    who: As,
}

/// What can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Clear {
    /// All roles
    Roles,
    /// All tags
    Tags,
    /// All DNS names
    Dns,
}

/// Delete an agent; its certificates live until they expire
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar agent delete build/logger-1")]
pub(crate) struct Delete {
    /// The agent's id
    agent: AgentId,
    #[command(flatten)]
    who: As,
}

pub(super) fn run(session: &Session, args: &Agent) -> Result<(), Failure> {
    session.block_on(async {
        match args {
            Agent::List(args) => list(session, caller::connect(session, &args.who).await?).await,
            Agent::Show(args) => {
                let caller = caller::connect(session, &args.who).await?;
                let answer =
                    caller.client.agents().get_agent(GetAgentRequest { name: name(&args.agent) }).await?;
                say(session, answer.into_inner().agent)
            }
            Agent::Create(args) => {
                let caller = caller::connect(session, &args.who).await?;
                let agent = Some(args.traits.of(&args.agent));
                let request = CreateAgentBody { agent, request_id: request_id()? };
                let answer = caller.client.agents().create_agent(request.clone()).await?.into_inner();
                let proven = caller.asker().of_request(answer.receipt, &request).await?;
                say(session, Some(as_recorded(answer.agent, proven)?))
            }
            Agent::Update(args) => {
                let request = args.request()?;
                let caller = caller::connect(session, &args.who).await?;
                let answer = caller.client.agents().update_agent(request.clone()).await?.into_inner();
                let proven = caller.asker().of_request(answer.receipt, &request).await?;
                say(session, Some(as_recorded(answer.agent, proven)?))
            }
            Agent::Delete(args) => {
                let caller = caller::connect(session, &args.who).await?;
                let request = DeleteAgentBody {
                    name: name(&args.agent),
                    request_id: request_id()?,
                    ..DeleteAgentBody::default()
                };
                let answer = caller.client.agents().delete_agent(request.clone()).await?.into_inner();
                caller.asker().of_request(answer.receipt, &request).await?;
                session.output().say(&Deleted { deleted: request.name })
            }
        }
    })
}

async fn list(session: &Session, caller: Caller) -> Result<(), Failure> {
    let (mut all, mut pages) = (Vec::new(), Pages::default());
    loop {
        let request = ListAgentsRequest { page_size: PAGE, page_token: pages.token() };
        let page = caller.client.agents().list_agents(request).await?.into_inner();
        all.extend(page.agents.into_iter().map(view::Agent::from));
        if !pages.turn(page.next_page_token)? {
            return session.output().say(&all);
        }
    }
}

/// The agent of an answer, with the fields that its entry has taken from there.
fn as_recorded(answered: Option<v1::Agent>, proven: ProvenEntry) -> Result<v1::Agent, Failure> {
    let answered = answered.ok_or_else(|| Failure::incomplete("agent"))?;
    let recorded = match proven.entry.kind {
        Some(Kind::AgentChange(change)) => change.agent,
        _ => None,
    };
    let recorded = recorded.filter(|agent| answered.name == format!("agents/{}", agent.id));
    let AgentRecord { roles, tags, dns_names, owner, disabled, .. } =
        recorded.ok_or_else(|| Failure::unverified("the answer", "its entry is of another agent"))?;
    let owner = format!("controllers/{owner}");
    Ok(v1::Agent { roles, tags, dns_names, owner, disabled, ..answered })
}

fn say(session: &Session, agent: Option<v1::Agent>) -> Result<(), Failure> {
    let agent = agent.ok_or_else(|| Failure::incomplete("agent"))?;
    session.output().say(&view::Agent::from(agent))
}

#[derive(Serialize)]
struct Deleted {
    deleted: String,
}

impl Show for Deleted {
    fn show(&self, page: &mut Page) {
        page.field("deleted", &self.deleted);
    }
}

fn name(id: &AgentId) -> String {
    format!("agents/{id}")
}

impl Traits {
    /// Whether anything is said of the agent.
    pub(super) fn any(&self) -> bool {
        !(self.role.is_empty() && self.tag.is_empty() && self.dns.is_empty())
    }

    fn of(&self, id: &AgentId) -> v1::Agent {
        v1::Agent { name: name(id), ..self.described() }
    }

    /// An agent like that, without a name.
    pub(super) fn described(&self) -> v1::Agent {
        v1::Agent {
            roles: self.role.iter().map(ToString::to_string).collect(),
            tags: self.tag.iter().map(ToString::to_string).collect(),
            dns_names: self.dns.iter().map(ToString::to_string).collect(),
            ..v1::Agent::default()
        }
    }
}

impl Update {
    /// Only what is named changes (AIP-134).
    fn request(&self) -> Result<UpdateAgentBody, Failure> {
        let Traits { role, tag, dns } = &self.traits;
        let mut paths = Vec::new();
        for (path, named, clear) in [
            ("roles", !role.is_empty(), Clear::Roles),
            ("tags", !tag.is_empty(), Clear::Tags),
            ("dns_names", !dns.is_empty(), Clear::Dns),
        ] {
            let cleared = self.clear.contains(&clear);
            if named && cleared {
                return Err(Failure::usage(format!("{path} cannot be both given and cleared")));
            }
            paths.extend((named || cleared).then(|| path.to_owned()));
        }
        paths.extend((self.enable || self.disable).then(|| "disabled".to_owned()));
        if paths.is_empty() {
            return Err(Failure::usage("there is nothing to change")
                .mended_by(format!("rootcellar agent update {} --role ROLE", self.agent)));
        }
        let agent = v1::Agent { disabled: self.disable, ..self.traits.of(&self.agent) };
        let update_mask = Some(prost_types::FieldMask { paths });
        Ok(UpdateAgentBody { agent: Some(agent), update_mask, request_id: request_id()? })
    }
}
