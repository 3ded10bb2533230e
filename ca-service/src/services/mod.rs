//! The services of `rootcellar.v1`: fields in, an ask to the keeper, fields out.
//!
//! Does not: authorise. That is the keeper's, with the caller that step 1 proved.

mod admin;
mod agent;
mod batch;
mod issuance;
mod ledger;
mod trust;

use proto::{
    DESCRIPTORS,
    v1::{
        admin_service_server::AdminServiceServer, agent_service_server::AgentServiceServer,
        issuance_service_server::IssuanceServiceServer, ledger_service_server::LedgerServiceServer,
        trust_service_server::TrustServiceServer,
    },
};
use tonic::service::Routes;
use tonic_health::pb::{
    FILE_DESCRIPTOR_SET as HEALTH_DESCRIPTORS,
    health_server::{Health, HealthServer},
};
use tonic_reflection::server::Builder;

use crate::call::Desk;

/// Every service, each with the bound of its messages.
///
/// # Errors
/// Our bug: the descriptors for reflection cannot be read.
pub(crate) fn routes<H: Health>(
    desk: &Desk,
    health: HealthServer<H>,
    message_bytes: usize,
) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(HEALTH_DESCRIPTORS)
        .build_v1()?;
    let issuance = IssuanceServiceServer::new(issuance::Issuance(desk.clone()));
    let agents = AgentServiceServer::new(agent::Agents(desk.clone()));
    let trust = TrustServiceServer::new(trust::Trust(desk.clone()));
    let ledger = LedgerServiceServer::new(ledger::Ledger(desk.clone()));
    let admin = AdminServiceServer::new(admin::Admin(desk.clone()));
    Ok(Routes::new(health.max_decoding_message_size(message_bytes))
        .add_service(reflection.max_decoding_message_size(message_bytes))
        .add_service(issuance.max_decoding_message_size(message_bytes))
        .add_service(agents.max_decoding_message_size(message_bytes))
        .add_service(trust.max_decoding_message_size(message_bytes))
        .add_service(ledger.max_decoding_message_size(message_bytes))
        .add_service(admin.max_decoding_message_size(message_bytes))
        .prepare())
}
