//! What a controller may ask for, and how much.

use proto::v1::{Agent, CreateAgentBody, DeleteAgentBody, IssueCertificateBody, UpdateAgentBody};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{House, ask, csr, issue, refused, request, still_issues};

fn described(id: &str, agent: Agent, seconds: i64) -> IssueCertificateBody {
    let mut request = request(id, csr());
    request.description = Some(agent);
    request.lifetime = Some(prost_types::Duration { seconds, nanos: 0 });
    request
}

#[tokio::test]
async fn outside_the_grant() {
    let (house, client) = House::with_build().await;
    let words = |word: &str| vec![word.to_owned()];
    let none = Agent::default;
    let before = house.entries().await.len();
    for request in [
        described("deploy/a", none(), 600),
        described("build", none(), 600),
        described("builder/a", none(), 600),
        described("build/a", Agent { roles: words("admin"), ..none() }, 600),
        described("build/a", Agent { tags: words("red"), ..none() }, 600),
        described("build/a", Agent { dns_names: words("a.other.internal"), ..none() }, 600),
        described("build/a", Agent { dns_names: words("mesh.internal"), ..none() }, 600),
        described("build/a", none(), 3601),
    ] {
        refused(ask(&client, request).await, Code::PermissionDenied, "GRANT_DOES_NOT_COVER");
    }
    assert_eq!(house.entries().await.len(), before, "a refusal leaves no entry");
    issue(&client, "build/a").await;
    // What the grant does not cover cannot be reached through an update either.
    let agent = Some(Agent { name: "agents/build/a".into(), roles: words("admin"), ..none() });
    let update = UpdateAgentBody { agent, ..UpdateAgentBody::default() };
    let updated = client.agents().update_agent(update).await;
    refused(updated, Code::PermissionDenied, "GRANT_DOES_NOT_COVER");
    // A grant that is narrowed holds for agents that exist, from the next request on.
    house.cell.run(&["grant", "set", "build", "agents=build/*;roles=scanner;ttl=1h"]).ok();
    refused(ask(&client, request("build/a", csr())).await, Code::PermissionDenied, "GRANT_DOES_NOT_COVER");
    house.cell.run(&["grant", "set", "build", "agents=build/*;roles=logger"]).ok();
    still_issues(&client).await;
}

#[tokio::test]
async fn another_controllers_agent() {
    let (house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    let other = house.controller("other", "agents=build/*;roles=logger,scanner").client().await;
    let not_owner = ask(&other, request("build/a", csr())).await;
    refused(not_owner, Code::PermissionDenied, "NOT_OWNER");
    let name = "agents/build/a".to_owned();
    let agent = Some(Agent { name: name.clone(), ..Agent::default() });
    let update = UpdateAgentBody { agent, ..UpdateAgentBody::default() };
    refused(other.agents().update_agent(update).await, Code::PermissionDenied, "NOT_OWNER");
    let delete = DeleteAgentBody { name, ..DeleteAgentBody::default() };
    refused(other.agents().delete_agent(delete).await, Code::PermissionDenied, "NOT_OWNER");
    issue(&other, "build/b").await;
    still_issues(&client).await;
}

/// A refusal does not tell whether another's agent outside the caller's grants is there.
#[tokio::test]
async fn what_is_outside_the_grants_is_as_if_it_were_not_there() {
    let (house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    let other = house.controller("other", "agents=other/*;roles=logger").client().await;
    for id in ["build/a", "build/none"] {
        for spoil in [
            |body: &mut IssueCertificateBody| {
                body.lifetime = Some(prost_types::Duration { seconds: 5, nanos: 0 });
            },
            |body: &mut IssueCertificateBody| {
                let roles = vec!["NO ROLE".to_owned()];
                body.description = Some(Agent { roles, ..Agent::default() });
            },
        ] {
            let mut body = request(id, csr());
            spoil(&mut body);
            refused(ask(&other, body).await, Code::PermissionDenied, "GRANT_DOES_NOT_COVER");
        }
    }
}

#[tokio::test]
async fn budget() {
    let house = House::new();
    let client = house.controller("build", "agents=build/*;roles=logger;budget=3").client().await;
    issue(&client, "build/a").await;
    issue(&client, "build/a").await;
    let status =
        refused(ask(&client, request("build/a", csr())).await, Code::ResourceExhausted, "BUDGET_EXHAUSTED");
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay).expect("the time to wait");
    assert!(wait.as_secs() <= 3600, "{wait:?}");
    let agent = Some(Agent { name: "agents/build/b".into(), ..Agent::default() });
    let create = CreateAgentBody { agent, ..CreateAgentBody::default() };
    let created = client.agents().create_agent(create).await;
    refused(created, Code::ResourceExhausted, "BUDGET_EXHAUSTED");
    // The hour after, there is a new one.
    house.cell.set_clock(3_600_000);
    still_issues(&client).await;
}
