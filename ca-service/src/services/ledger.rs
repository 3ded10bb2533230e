//! The ledger: every method goes through to the keeper.

use proto::{
    door::ask::Ask,
    v1::{
        GetCheckpointRequest, GetCheckpointResponse, GetConsistencyProofRequest, GetConsistencyProofResponse,
        GetInclusionProofRequest, GetInclusionProofResponse, ListEntriesRequest, ListEntriesResponse,
        ledger_service_server::LedgerService,
    },
};
use tonic::{Request, Response, Status};

use crate::call::{Desk, pick};

/// See `rootcellar.v1.LedgerService`.
pub(super) struct Ledger(pub(super) Desk);

#[tonic::async_trait]
impl LedgerService for Ledger {
    async fn get_checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        self.0.relay(request, Ask::GetCheckpoint, pick!(GetCheckpoint)).await
    }

    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        self.0.scan(request, Ask::ListEntries, pick!(ListEntries)).await
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<GetInclusionProofRequest>,
    ) -> Result<Response<GetInclusionProofResponse>, Status> {
        self.0.relay(request, Ask::GetInclusionProof, pick!(GetInclusionProof)).await
    }

    async fn get_consistency_proof(
        &self,
        request: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<GetConsistencyProofResponse>, Status> {
        self.0.relay(request, Ask::GetConsistencyProof, pick!(GetConsistencyProof)).await
    }
}
