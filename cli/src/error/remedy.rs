//! What helps against each refusal of the service, as a line to type.

/// The line that helps against a refusal of this reason; none where only its message does.
pub(super) fn of(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "GRANT_DOES_NOT_COVER" => "rootcellar grant set CONTROLLER 'agents=…;roles=…;ttl=1h;budget=1000'",
        "CALLER_EXPIRED" | "LINE_ENDED" | "CERTIFICATE_NOT_NEWEST" | "CALLER_UNKNOWN" => {
            "rootcellar controller reissue NAME"
        }
        "CONTROLLER_EXISTS" => "rootcellar controller reissue NAME, or another name",
        "CALLER_REMOVED" => "rootcellar controller show NAME",
        "AGENT_DIFFERS" | "AGENT_DISABLED" => {
            "rootcellar agent update AGENT --enable, or with its roles and tags"
        }
        "AGENT_EXISTS" | "ETAG_MISMATCH" => "rootcellar agent show AGENT",
        "NOT_OWNER" => "rootcellar agent show AGENT --controller OWNER",
        "PROPOSAL_EXPIRED" | "PROPOSAL_ELSEWHERE" | "PROPOSAL_REPLAYED" => {
            "the command that made the proposal, again"
        }
        "PROPOSAL_NOT_APPROVED" => {
            "the same command with --proposal-out FILE, have other officers sign it, then rootcellar proposal submit FILE"
        }
        "PROPOSAL_STRANGER" => "the same command with --officer-key FILE, an officer's of the charter",
        "REQUEST_ID_REUSED" => "the same command with another --request-id",
        "KEEPER_UNAVAILABLE" | "TOKEN_UNAVAILABLE" | "ISSUER_NOT_VALID" | "INTERNAL" => "rootcellar status",
        "ENTROPY_FAILED" => "rootcellar doctor",
        _ => return None,
    })
}
