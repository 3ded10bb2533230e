//! Agents: what is there, what differs, what was changed meanwhile.

use proto::v1::{
    Agent, CreateAgentBody, DeleteAgentBody, GetAgentRequest, IssueCertificateBody, ListAgentsRequest,
    ListCertificatesRequest, UpdateAgentBody,
};
use tonic::Code;

use crate::support::{House, ask, csr, inner, issue, refused, request, still_issues};

fn named(id: &str) -> Agent {
    Agent { name: format!("agents/{id}"), roles: vec!["logger".into()], ..Agent::default() }
}

fn create(id: &str) -> CreateAgentBody {
    CreateAgentBody { agent: Some(named(id)), ..CreateAgentBody::default() }
}

fn update(agent: Agent) -> UpdateAgentBody {
    UpdateAgentBody { agent: Some(agent), ..UpdateAgentBody::default() }
}

fn undescribed(id: &str) -> IssueCertificateBody {
    IssueCertificateBody { description: None, allow_missing: false, ..request(id, csr()) }
}

#[tokio::test]
async fn states() {
    let (_house, client) = House::with_build().await;
    let mut agents = client.agents();
    let made = inner(agents.create_agent(create("build/a")).await).agent.unwrap();
    assert_eq!(
        (made.spiffe_id.as_str(), made.owner.as_str()),
        ("spiffe://cell.internal/agent/build/a", "controllers/build")
    );
    refused(agents.create_agent(create("build/a")).await, Code::AlreadyExists, "AGENT_EXISTS");

    ask(&client, undescribed("build/a")).await.expect("an agent that exists needs no description");
    let mut different = request("build/a", csr());
    different.description.as_mut().unwrap().roles = vec!["scanner".into()];
    refused(ask(&client, different).await, Code::FailedPrecondition, "AGENT_DIFFERS");

    inner(agents.update_agent(update(Agent { disabled: true, ..named("build/a") })).await);
    refused(ask(&client, undescribed("build/a")).await, Code::FailedPrecondition, "AGENT_DISABLED");
    inner(agents.update_agent(update(named("build/a"))).await);
    ask(&client, undescribed("build/a")).await.expect("enabled again");

    let absent = "agents/build/absent".to_owned();
    refused(ask(&client, undescribed("build/absent")).await, Code::NotFound, "NOT_FOUND");
    refused(agents.get_agent(GetAgentRequest { name: absent.clone() }).await, Code::NotFound, "NOT_FOUND");
    refused(agents.update_agent(update(named("build/absent"))).await, Code::NotFound, "NOT_FOUND");
    let delete = DeleteAgentBody { name: absent, ..DeleteAgentBody::default() };
    refused(agents.delete_agent(delete).await, Code::NotFound, "NOT_FOUND");
    still_issues(&client).await;
}

#[tokio::test]
async fn etag() {
    let (_house, client) = House::with_build().await;
    let agents = client.agents();
    let read = inner(agents.create_agent(create("build/a")).await).agent.unwrap();
    let changed = Agent { roles: vec!["scanner".into()], ..read.clone() };
    let newer = inner(agents.update_agent(update(changed.clone())).await).agent.unwrap();
    assert_ne!(newer.etag, read.etag);
    refused(agents.update_agent(update(changed)).await, Code::Aborted, "ETAG_MISMATCH");
    let delete = |etag: &str| DeleteAgentBody {
        name: read.name.clone(),
        etag: etag.into(),
        ..DeleteAgentBody::default()
    };
    refused(agents.delete_agent(delete(&read.etag)).await, Code::Aborted, "ETAG_MISMATCH");
    inner(agents.delete_agent(delete(&newer.etag)).await);
    // Made anew, it is another agent: an etag of the first is not its own.
    let again = inner(agents.create_agent(create("build/a")).await).agent.unwrap();
    assert_ne!(again.etag, read.etag);
    still_issues(&client).await;
}

#[tokio::test]
async fn pages() {
    let (house, client) = House::with_build().await;
    for id in ["build/c", "build/a", "build/b"] {
        issue(&client, id).await;
    }
    let mut agents = client.agents();
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = inner(agents.list_agents(ListAgentsRequest { page_size: 2, page_token }).await);
        assert!(page.agents.len() <= 2);
        seen.extend(page.agents.into_iter().map(|agent| agent.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["agents/build/a", "agents/build/b", "agents/build/c"]);
    // A page begins where it was said to begin, in this list, for this caller.
    let first = inner(agents.list_agents(ListAgentsRequest { page_size: 2, ..Default::default() }).await);
    let other = house.controller("other", "agents=other/*").client().await;
    for (client, page_token) in
        [(&client, "../../etc/passwd"), (&client, "build/a"), (&other, &*first.next_page_token)]
    {
        let page = ListAgentsRequest { page_size: 2, page_token: page_token.into() };
        refused(client.agents().list_agents(page).await, Code::InvalidArgument, "REQUEST_MALFORMED");
    }
    let list = ListCertificatesRequest { page_token: first.next_page_token, ..Default::default() };
    refused(client.issuance().list_certificates(list).await, Code::InvalidArgument, "REQUEST_MALFORMED");
}
