//! Agents: every method goes through to the keeper, those that change something as the bytes that the caller signed.

use proto::{
    door::ask::Ask,
    v1::{
        BatchCreateAgentsBody, BatchCreateAgentsRequest, BatchCreateAgentsResponse, CreateAgentRequest,
        CreateAgentResponse, DeleteAgentRequest, DeleteAgentResponse, GetAgentRequest, GetAgentResponse,
        ListAgentsRequest, ListAgentsResponse, UpdateAgentRequest, UpdateAgentResponse,
        agent_service_server::AgentService,
    },
};
use tonic::{Request, Response, Status};

use super::issuance::read;
use crate::{
    call::{Call, Desk, pick, signed},
    status::status,
};

/// See `rootcellar.v1.AgentService`.
pub(super) struct Agents(pub(super) Desk);

#[tonic::async_trait]
impl AgentService for Agents {
    async fn create_agent(
        &self,
        request: Request<CreateAgentRequest>,
    ) -> Result<Response<CreateAgentResponse>, Status> {
        let wrap = |CreateAgentRequest { body, signature }| {
            signed("/rootcellar.v1.AgentService/CreateAgent", body, signature)
        };
        self.0.relay(request, wrap, pick!(CreateAgent)).await
    }

    async fn batch_create_agents(
        &self,
        request: Request<BatchCreateAgentsRequest>,
    ) -> Result<Response<BatchCreateAgentsResponse>, Status> {
        let wrap = |BatchCreateAgentsRequest { body, signature }| {
            signed("/rootcellar.v1.AgentService/BatchCreateAgents", body, signature)
        };
        // Each is looked at as one alone is, whatever becomes of them.
        let agents = read::<BatchCreateAgentsBody>(&request.get_ref().body).map_err(status)?.agents.len();
        let call = Call::of(request.extensions()).map_err(status)?;
        let charged = self.0.callers.charge_many_by(call.deadline, &call.connection.caller, agents).await;
        charged.map_err(status)?;
        self.0.relay(request, wrap, pick!(BatchCreateAgents)).await
    }

    async fn get_agent(
        &self,
        request: Request<GetAgentRequest>,
    ) -> Result<Response<GetAgentResponse>, Status> {
        self.0.relay(request, Ask::GetAgent, pick!(GetAgent)).await
    }

    async fn list_agents(
        &self,
        request: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        self.0.scan(request, Ask::ListAgents, pick!(ListAgents)).await
    }

    async fn update_agent(
        &self,
        request: Request<UpdateAgentRequest>,
    ) -> Result<Response<UpdateAgentResponse>, Status> {
        let wrap = |UpdateAgentRequest { body, signature }| {
            signed("/rootcellar.v1.AgentService/UpdateAgent", body, signature)
        };
        self.0.relay(request, wrap, pick!(UpdateAgent)).await
    }

    async fn delete_agent(
        &self,
        request: Request<DeleteAgentRequest>,
    ) -> Result<Response<DeleteAgentResponse>, Status> {
        let wrap = |DeleteAgentRequest { body, signature }| {
            signed("/rootcellar.v1.AgentService/DeleteAgent", body, signature)
        };
        self.0.relay(request, wrap, pick!(DeleteAgent)).await
    }
}
