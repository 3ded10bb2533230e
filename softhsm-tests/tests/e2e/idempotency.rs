//! The same request many times is one request.

use proto::v1::{Agent, BatchCreateAgentsBody, CreateAgentBody, DeleteAgentBody, GetAgentRequest};
use rcgen::KeyPair;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{House, ask, csr_of, inner, issuance_of, refused, request, still_issues};

#[tokio::test]
async fn parallel_tries_make_one_certificate() {
    let (house, client) = House::with_build().await;
    let other = house.credentials().client().await;
    let key = KeyPair::generate().unwrap();
    let mut tries = JoinSet::new();
    for i in 0..100 {
        let client = if i % 2 == 0 { client.clone() } else { other.clone() };
        let mut named = request("build/a", csr_of(&key));
        named.request_id = "once".into();
        tries.spawn(async move { ask(&client, named).await.unwrap() });
    }
    let certificates = tries.join_all().await;
    assert!(certificates.windows(2).all(|pair| pair[0] == pair[1]), "all get the same");
    let issued = house
        .entries()
        .await
        .iter()
        .filter_map(issuance_of)
        .filter(|issuance| issuance.subject == "/agent/build/a")
        .count();
    assert_eq!(issued, 1);
}

#[tokio::test]
async fn outlives_a_restart_and_is_each_callers_own() {
    let (mut house, client) = House::with_build().await;
    let key = KeyPair::generate().unwrap();
    let named = || {
        let mut named = request("build/a", csr_of(&key));
        named.request_id = "once".into();
        named
    };
    let first = ask(&client, named()).await.unwrap();
    house.restart().await;
    let client = house.credentials().client().await;
    assert_eq!(ask(&client, named()).await.unwrap(), first);
    let other = house.controller("other", "agents=other/*;roles=logger").client().await;
    let mut theirs = request("other/a", crate::support::csr());
    theirs.request_id = "once".into();
    ask(&other, theirs).await.expect("another caller's id is another id");
    still_issues(&client).await;
}

#[tokio::test]
async fn agents_too() {
    let (house, client) = House::with_build().await;
    let create = |role: &str| CreateAgentBody {
        agent: Some(Agent { name: "agents/build/a".into(), roles: vec![role.into()], ..Agent::default() }),
        request_id: "once".into(),
    };
    let first = inner(client.agents().create_agent(create("logger")).await);
    let before = house.entries().await.len();
    assert_eq!(inner(client.agents().create_agent(create("logger")).await), first);
    let other = client.agents().create_agent(create("scanner")).await;
    refused(other, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_eq!(house.entries().await.len(), before);
    still_issues(&client).await;
}

/// What was carried out before is answered as it is now, to whom it is now.
#[tokio::test]
async fn an_agent_that_is_anothers_now() {
    let house = House::new();
    let grant = "agents=shared/*;roles=logger,scanner";
    let (client, other) =
        (house.controller("build", grant).client().await, house.controller("other", grant).client().await);
    let agent = |role: &str| {
        Some(Agent { name: "agents/shared/x".into(), roles: vec![role.into()], ..Agent::default() })
    };
    let create = CreateAgentBody { agent: agent("logger"), request_id: "once".into() };
    let batch = BatchCreateAgentsBody {
        agents: vec![Agent { name: "agents/shared/y".into(), ..Agent::default() }],
        request_id: "both".into(),
    };
    inner(client.agents().create_agent(create.clone()).await);
    inner(client.agents().batch_create_agents(batch.clone()).await);
    for name in ["agents/shared/x", "agents/shared/y"] {
        let delete = DeleteAgentBody { name: name.into(), ..DeleteAgentBody::default() };
        inner(client.agents().delete_agent(delete).await);
        let theirs = Agent { name: name.into(), roles: vec!["scanner".into()], ..Agent::default() };
        let theirs = CreateAgentBody { agent: Some(theirs), request_id: String::new() };
        inner(other.agents().create_agent(theirs).await);
    }
    let before = house.entries().await.len();
    let told = refused(client.agents().create_agent(create).await, Code::NotFound, "NOT_FOUND");
    assert!(told.message().contains("carried out before"), "{}", told.message());
    refused(client.agents().batch_create_agents(batch).await, Code::NotFound, "NOT_FOUND");
    let get = GetAgentRequest { name: "agents/shared/x".into() };
    assert_eq!(inner(other.agents().get_agent(get).await).agent.unwrap().roles, ["scanner"]);
    assert_eq!(house.entries().await.len(), before, "and nothing was done");
}
