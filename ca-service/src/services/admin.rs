//! Administration: every method goes through to the keeper, the status only from the local socket.

use proto::{
    door::ask::Ask,
    v1::{
        BackupJournalRequest, BackupJournalResponse, GetCharterRequest, GetCharterResponse,
        GetControllerRequest, GetControllerResponse, GetStatusRequest, GetStatusResponse,
        ImportCeremonyRequest, ImportCeremonyResponse, ListControllersRequest, ListControllersResponse,
        Reason, SubmitProposalRequest, SubmitProposalResponse, admin_service_server::AdminService,
    },
};
use tonic::{Request, Response, Status};

use crate::call::{Call, Desk, pick};
use crate::status::{refused, status};

const ONLY_LOCAL: &str = "only the keeper's own socket answers this: run `rootcellar` on the service's machine, as its user or group";

/// See `rootcellar.v1.AdminService`.
pub(super) struct Admin(pub(super) Desk);

#[tonic::async_trait]
impl AdminService for Admin {
    async fn submit_proposal(
        &self,
        request: Request<SubmitProposalRequest>,
    ) -> Result<Response<SubmitProposalResponse>, Status> {
        self.0.relay(request, Ask::SubmitProposal, pick!(SubmitProposal)).await
    }

    async fn import_ceremony(
        &self,
        request: Request<ImportCeremonyRequest>,
    ) -> Result<Response<ImportCeremonyResponse>, Status> {
        self.0.relay(request, Ask::ImportCeremony, pick!(ImportCeremony)).await
    }

    async fn get_charter(
        &self,
        request: Request<GetCharterRequest>,
    ) -> Result<Response<GetCharterResponse>, Status> {
        self.0.relay(request, Ask::GetCharter, pick!(GetCharter)).await
    }

    async fn get_controller(
        &self,
        request: Request<GetControllerRequest>,
    ) -> Result<Response<GetControllerResponse>, Status> {
        self.0.relay(request, Ask::GetController, pick!(GetController)).await
    }

    async fn list_controllers(
        &self,
        request: Request<ListControllersRequest>,
    ) -> Result<Response<ListControllersResponse>, Status> {
        self.0.scan(request, Ask::ListControllers, pick!(ListControllers)).await
    }

    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        // Reasons name tokens and paths; who is not on this machine learns only ready or not.
        from_here(&request)?;
        self.0.relay(request, Ask::GetStatus, pick!(GetStatus)).await
    }

    async fn backup_journal(
        &self,
        request: Request<BackupJournalRequest>,
    ) -> Result<Response<BackupJournalResponse>, Status> {
        from_here(&request)?;
        self.0.relay(request, Ask::BackupJournal, pick!(BackupJournal)).await
    }
}

/// Refuses a caller of the network.
fn from_here<T>(request: &Request<T>) -> Result<(), Status> {
    let call = Call::of(request.extensions()).map_err(status)?;
    if call.connection.caller.is_local() {
        Ok(())
    } else {
        Err(status(refused(Reason::CallerNotAllowed, ONLY_LOCAL)))
    }
}
