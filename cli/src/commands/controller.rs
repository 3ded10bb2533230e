//! `rootcellar controller`: software that may ask for certificates, as officers decided.

mod files;

use std::path::PathBuf;

use cell::{Act, ControllerName, SpkiDer};
use clap::{Args, Subcommand};
use client::Client;
use proto::v1::{GetControllerRequest, ListControllersRequest};

use super::view;
use crate::client::officer::{Desk, Signing};
use crate::client::pages::{PAGE, Pages};
use crate::client::{As, open};
use crate::error::Failure;
use crate::session::Session;
use crate::spec::{self, GrantSpec};

pub(super) use files::{Enrolment, place};

const GRANT_HELP: &str = "\
A grant is one text of key=value parts, joined by semicolons; its lists are joined by commas:
  agents   agent ids, exact or prefix/*; required
  roles, tags, dns   what those agents may have; none unless named; dns also *.suffix
  ttl      longest lifetime, 10s to 1d [default: 1h]
  budget   entries in an hour [default: 1000]
  name     [default: default, grant-2, …]

Example:
  rootcellar controller add build --grant 'agents=build/*;roles=logger,scanner;tags=blue;ttl=1h;budget=1000'";

/// Add, reissue, remove and show controllers
#[derive(Debug, Subcommand)]
pub(crate) enum Controller {
    Add(Add),
    Reissue(Reissue),
    Remove(Remove),
    List(List),
    Show(ShowOne),
}

/// Add a controller with its grants, and write its credentials
#[derive(Debug, Args)]
#[command(after_help = GRANT_HELP)]
pub(crate) struct Add {
    /// Its name: [a-z0-9][a-z0-9._-]*
    name: ControllerName,
    /// What it may ask for; repeat for more
    #[arg(long, value_name = "GRANT", required = true)]
    grant: Vec<GrantSpec>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    signing: Signing,
}

/// Where a controller's credentials go.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Directory for its credentials [default: $XDG_CONFIG_HOME/rootcellar/controllers/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Give a controller a new certificate: when it was away too long, or its key is lost
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar controller reissue build")]
pub(crate) struct Reissue {
    /// Its name
    name: ControllerName,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    signing: Signing,
}

/// End a controller: its certificates are refused from now on
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar controller remove build")]
pub(crate) struct Remove {
    /// Its name
    name: ControllerName,
    #[command(flatten)]
    signing: Signing,
}

/// List the controllers
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar controller list --output json")]
pub(crate) struct List {
    #[command(flatten)]
    who: As,
}

/// Show one controller with its grants
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar controller show build")]
pub(crate) struct ShowOne {
    /// Its name
    name: ControllerName,
    #[command(flatten)]
    who: As,
}

pub(super) fn run(session: &Session, args: &Controller) -> Result<(), Failure> {
    session.block_on(async {
        match args {
            Controller::Add(args) => add(session, args).await,
            Controller::Reissue(args) => reissue(session, args).await,
            Controller::Remove(args) => remove(session, args).await,
            Controller::List(args) => list(session, &open(session, &args.who).await?).await,
            Controller::Show(args) => show(session, &open(session, &args.who).await?, &args.name).await,
        }
    })
}

async fn add(session: &Session, args: &Add) -> Result<(), Failure> {
    let grants = spec::named(&args.grant).map_err(Failure::usage)?;
    let dir = place(session, &args.name, args.place.out.as_ref())?;
    if dir.join("key.pem").exists() {
        return Err(Failure::new(
            "CREDENTIALS_EXIST",
            format!("{} holds credentials already", dir.display()),
        )
        .mended_by(format!("rootcellar controller reissue {}, or the same with --out DIR", args.name)));
    }
    let name = args.name.clone();
    let act = |public_key| Act::ControllerAdd { name, public_key, grants };
    enrol(session, &args.name, dir, &args.signing, act).await
}

async fn reissue(session: &Session, args: &Reissue) -> Result<(), Failure> {
    let dir = place(session, &args.name, args.place.out.as_ref())?;
    let name = args.name.clone();
    enrol(session, &args.name, dir, &args.signing, |public_key| Act::ControllerReissue { name, public_key })
        .await
}

/// Has officers' act give a new key a certificate.
async fn enrol(
    session: &Session,
    name: &ControllerName,
    dir: PathBuf,
    signing: &Signing,
    act: impl FnOnce(SpkiDer) -> Act,
) -> Result<(), Failure> {
    let desk = Desk::open(session).await?;
    let enrolment = Enrolment::begin(name, dir, signing)?;
    let public_key = SpkiDer::try_from(enrolment.public_key()).map_err(|error| Failure::new("KEY", error))?;
    let outcome = desk.act(session, &act(public_key), signing).await?;
    enrolment.end(session, &desk, outcome)
}

async fn remove(session: &Session, args: &Remove) -> Result<(), Failure> {
    let desk = Desk::open(session).await?;
    let act = Act::ControllerRemove { name: args.name.clone() };
    let outcome = desk.act(session, &act, &args.signing).await?;
    super::outcome::say(session, act.name(), outcome)
}

async fn list(session: &Session, client: &Client) -> Result<(), Failure> {
    let (mut all, mut pages) = (Vec::new(), Pages::default());
    loop {
        let request = ListControllersRequest { page_size: PAGE, page_token: pages.token() };
        let page = client.admin().list_controllers(request).await?.into_inner();
        all.extend(page.controllers.into_iter().map(view::Controller::from));
        if !pages.turn(page.next_page_token)? {
            return session.output().say(&all);
        }
    }
}

async fn show(session: &Session, client: &Client, name: &ControllerName) -> Result<(), Failure> {
    let request = GetControllerRequest { name: format!("controllers/{name}") };
    let answer = client.admin().get_controller(request).await?.into_inner();
    let controller = answer.controller.ok_or_else(|| Failure::incomplete("controller"))?;
    session.output().say(&view::Controller::from(controller))
}
