//! What the running service says of itself, judged.

use ledger::custody::UNKNOWN;
use ledger::entry::Custody;
use proto::v1::Obstacle;

use super::facts::{Facts, Rate};
use super::finding::Finding;
use super::service::Service;
use crate::output::{duration, rfc3339};

const DAY_SECS: i64 = 86_400;
/// Lifetime of an agent's certificate where no grant says less, in seconds.
const DEFAULT_TTL_SECS: u32 = 3600;
/// Below this lifetime a certificate is back-dated by less than a minute (`certs::compose::Validity`: a tenth of it), in seconds.
const FULL_BACKDATE_TTL_SECS: u32 = 600;
/// A manifest comes every hour, in milliseconds; twice that is late.
const MANIFEST_LATE_MS: i64 = 2 * 3_600_000;

/// What a figure of the token alone leaves out.
pub(super) const REST: &str = "; the rest of an issuance costs more (docs/benchmarks.md)";

/// Whether it issues, and what officers stopped.
pub(super) fn readiness(service: &Service) -> Vec<Finding> {
    let status = &service.status;
    let obstacles = status.obstacles().chain(std::iter::repeat(Obstacle::Unspecified));
    let mut found: Vec<Finding> = status
        .reasons
        .iter()
        .zip(obstacles)
        .map(|(reason, what)| {
            let (check, fix) = match what {
                Obstacle::ClockWrong => {
                    ("clock.wrong", "timedatectl set-ntp true; where the clock is right: rootcellar clock confirm")
                }
                Obstacle::EntropyFailed => (
                    "entropy.failed",
                    "systemctl restart rootcellar (or rootcellar serve, anew), once the source is looked at (docs/custody.md)",
                ),
                Obstacle::TablesDiffer => {
                    ("journal.tables", "systemctl stop rootcellar, and then rootcellar ledger rebuild --replace")
                }
                Obstacle::JournalDamaged => ("journal.damaged", "rootcellar journal restore FILE"),
                Obstacle::DiskLow => ("disk.low", "du --human-readable --max-depth=2 on the data directory, and take away or move what is no journal"),
                Obstacle::IssuerNotValid => ("issuer.not-valid", "rootcellar issuer activate"),
                Obstacle::Unspecified => ("service.not-ready", "rootcellar status"),
            };
            Finding::critical(check, "the service does not issue", reason).mended_by(fix)
        })
        .collect();
    if status.frozen {
        let finding = "the cell is frozen: no new identity, grant or controller";
        found
            .push(Finding::warning("cell.frozen", finding, "rootcellar status").mended_by("rootcellar thaw"));
    }
    if let Some(until) = &status.lost_certificates_until {
        let finding = "certificates of the part of the log that was lost may still live, and the service cannot revoke them";
        found.push(
            Finding::warning("epoch.lost-certificates", finding, format!("until {}", rfc3339(until.seconds)))
                .mended_by("wait; where it cannot wait, have the root revoke their issuer: rootcellar ceremony plan root-crl"),
        );
    }
    if status.token_recoveries > 0 {
        let seen =
            format!("{} rungs of the recovery ladder since the keeper started", status.token_recoveries);
        found.push(
            Finding::warning("token.recoveries", "the token was lost and brought back", seen)
                .mended_by("rootcellar token inspect; the service's log has each cause"),
        );
    }
    found
}

/// The log against what was seen of it before.
pub(super) fn log(service: &Service) -> Vec<Finding> {
    let found = service.inconsistent.as_ref().map(|failure| {
        let finding =
            "the log does not follow from what was seen of it before, or its bundle does not verify";
        Finding::critical("log.inconsistent", finding, failure.to_string())
            .mended_by("rootcellar ledger verify; stop the service and keep its files until it is clear why")
    });
    found.into_iter().collect()
}

/// Ages of certificates and of the CRL.
pub(super) fn certificates(service: &Service, now_secs: i64) -> Vec<Finding> {
    let status = &service.status;
    let issuer = status.issuer_not_after.map(|end| end.seconds);
    let ends = [
        (
            "certificate.issuer",
            "the issuer's certificate",
            issuer,
            30 * DAY_SECS,
            "rootcellar ceremony plan rotation --token issuing --out issuer-2",
        ),
        (
            "certificate.root",
            "the root's certificate",
            service.root_not_after,
            365 * DAY_SECS,
            "rootcellar ceremony plan root --out root-2",
        ),
    ];
    let mut found: Vec<Finding> = Vec::new();
    for (check, what, end, early, fix) in ends {
        let Some(end) = end.filter(|end| end - now_secs < early) else { continue };
        let left = u64::try_from(end - now_secs).map_or("over".to_owned(), duration);
        let seen = format!("{} ({left} left)", rfc3339(end));
        let finding = format!("{what} ends soon");
        let severe = end - now_secs < 7 * DAY_SECS;
        let finding = if severe {
            Finding::critical(check, finding, seen)
        } else {
            Finding::warning(check, finding, seen)
        };
        found.push(finding.mended_by(fix));
    }
    if let Some(next) = status.crl_next_update.filter(|next| next.seconds < now_secs) {
        let seen = format!("nextUpdate {}", rfc3339(next.seconds));
        found.push(
            Finding::critical("crl.late", "the newest CRL is over", seen).mended_by("rootcellar status"),
        );
    }
    found
}

/// Certificates are back-dated so that a clock that is slow takes them; short ones by less.
pub(super) fn backdate(service: &Service) -> Vec<Finding> {
    let short = service.grants.iter().filter(|grant| grant.max_ttl_seconds < FULL_BACKDATE_TTL_SECS);
    let shortest = short.min_by_key(|grant| grant.max_ttl_seconds);
    let found = shortest.map(|grant| {
        let ttl = grant.max_ttl_seconds;
        Finding::warning(
            "certificate.backdate",
            format!("clients whose clock is slow by more than {} s refuse a new certificate", ttl / 10),
            format!("grant {}: lifetimes of at most {ttl} s are back-dated by a tenth of it", grant.name),
        )
        .mended_by(format!(
            "rootcellar grant set CONTROLLER 'name={};…;ttl=10m', or keep the clocks together",
            grant.name
        ))
    });
    found.into_iter().collect()
}

/// The newest manifest, and the file that the keeper runs against the one on the disk.
pub(super) fn custody(service: &Service, facts: Option<&Facts>, now_ms: i64) -> Vec<Finding> {
    let Some((custody, time_unix_ms)) = &service.custody else { return Vec::new() };
    let mut found = Vec::new();
    let age_ms = now_ms - time_unix_ms;
    if age_ms > MANIFEST_LATE_MS {
        let age = duration((age_ms / 1000).unsigned_abs());
        let seen = format!("entry {} is {age} old", service.status.custody_index);
        found.push(
            Finding::warning("custody.late", "the newest custody manifest is old", seen)
                .mended_by("rootcellar status"),
        );
    }
    if !custody.differences.is_empty() {
        let seen: Vec<&str> = custody.differences.iter().map(|of| of.subject.as_str()).collect();
        found.push(
            Finding::warning("custody.differs", "custody is not as it was", seen.join(", "))
                .mended_by("rootcellar custody diff"),
        );
    }
    found.extend(unknown_keys(custody));
    let on_disk = facts.map(|facts| &facts.module_sha256);
    let loaded = custody.module.as_ref().map(|module| data_encoding::HEXLOWER.encode(&module.sha256));
    if let (Some(on_disk), Some(loaded)) = (on_disk, loaded)
        && *on_disk != loaded
    {
        let finding = "the PKCS#11 module on the disk is not the one that the keeper runs";
        found.push(
            Finding::warning("token.module", finding, format!("sha256 {on_disk}, the keeper's {loaded}"))
                .mended_by(
                    "rootcellar token list, and find out who changed it; then systemctl restart rootcellar",
                ),
        );
    }
    found
}

/// Private keys that lie in the service's token and that no bundle names: each is told in the manifest, and used by nobody here.
fn unknown_keys(custody: &Custody) -> Option<Finding> {
    let unknown: Vec<String> = custody
        .keys
        .iter()
        .filter(|key| key.purpose == UNKNOWN)
        .map(|key| format!("CKA_ID {}", data_encoding::HEXLOWER.encode(&key.cka_id)))
        .collect();
    (!unknown.is_empty()).then(|| {
        let finding = "the service's token holds private keys that the ledger does not know";
        Finding::warning("custody.unknown-keys", finding, unknown.join(", ")).mended_by(
            "rootcellar token inspect, then pkcs11-tool --delete-object --type privkey --id CKA_ID, where nobody needs it",
        )
    })
}

/// Whether another issuer could take over.
pub(super) fn second_issuer(service: &Service) -> Vec<Finding> {
    let none = service.prepared_issuers == 0;
    let finding = "no second issuer is prepared: where the issuer's key is lost, nothing is issued until a ceremony makes one";
    none.then(|| {
        Finding::info("issuer.second", finding, "none").mended_by("rootcellar issuer prepare --out issuer-2; of several officers: rootcellar ceremony plan issuer --token standby --out issuer-2")
    })
    .into_iter()
    .collect()
}

/// What the token signs against what it must carry.
pub(super) fn capacity(service: &Service, rate: Rate) -> Vec<Finding> {
    let ttls = service.grants.iter().map(|grant| grant.max_ttl_seconds).filter(|ttl| *ttl > 0);
    let ttl = ttls.min().unwrap_or(DEFAULT_TTL_SECS).min(DEFAULT_TTL_SECS);
    let agents = supports(rate, ttl);
    let seen = format!(
        "{:.0} signatures a second by the token alone, {} at once; an agent renews at half of a life of {ttl} s; there are {} agents",
        rate.per_second, rate.threads, service.agents
    );
    let mut found =
        vec![Finding::info("capacity", format!("the token supports {agents} agents at {ttl} s{REST}"), seen)];
    if service.agents as u64 > agents {
        let finding = format!("there are more agents than the {agents} that the token supports");
        found.push(
            Finding::critical("capacity.agents", finding, format!("{} agents", service.agents)).mended_by(
                "rootcellar grant set CONTROLLER 'name=…;ttl=…', with longer lifetimes, or a faster token",
            ),
        );
    }
    let granted: u64 = service.grants.iter().map(|grant| u64::from(grant.budget_per_hour)).sum();
    #[expect(clippy::cast_precision_loss, reason = "budgets far below 2^52")]
    let too_much = granted as f64 > rate.per_second * 3600.0;
    if too_much {
        let finding = "officers granted more than the token signs in an hour";
        let seen = format!("budgets of {granted} an hour, {:.0} signatures", rate.per_second * 3600.0);
        found.push(
            Finding::warning("capacity.budgets", finding, seen)
                .mended_by("rootcellar grant set, with smaller budgets"),
        );
    }
    found
}

/// Agents that so many signatures a second renew: each at half of a lifetime that is shortened by a twentieth in the mean.
pub(super) fn supports(rate: Rate, ttl_secs: u32) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, rounded down")]
    let agents = (rate.per_second * f64::from(ttl_secs) * 0.95 / 2.0) as u64;
    agents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_ten_signatures_a_second_renews_seventeen_thousand_agents_of_an_hour() {
        assert_eq!(supports(Rate { per_second: 10.0, threads: 1 }, 3600), 17_100);
    }

    fn service() -> Service {
        Service {
            status: proto::v1::GetStatusResponse::default(),
            custody: None,
            grants: Vec::new(),
            agents: 0,
            root_not_after: None,
            roots: Vec::new(),
            prepared_issuers: 1,
            inconsistent: None,
        }
    }

    fn told(findings: Vec<Finding>) -> serde_json::Value {
        serde_json::to_value(findings).unwrap()
    }

    #[test]
    fn what_keeps_it_from_issuing_is_told_by_code_whatever_the_sentence_says() {
        let mut service = service();
        let (clock, damaged) = (Obstacle::ClockWrong.into(), Obstacle::JournalDamaged.into());
        service.status.reasons = vec!["it is late".into(), "something broke".into(), "of tomorrow".into()];
        service.status.obstacles = vec![clock, damaged];
        let told = told(readiness(&service));
        let checks = [&told[0]["check"], &told[1]["check"], &told[2]["check"]];
        assert_eq!(checks, ["clock.wrong", "journal.damaged", "service.not-ready"]);
    }

    #[test]
    fn more_agents_than_are_supported_is_critical_and_as_many_are_not() {
        let rate = Rate { per_second: 10.0, threads: 1 };
        let checks = |agents| {
            let found = told(capacity(&Service { agents, ..service() }, rate));
            found.as_array().unwrap().iter().map(|one| one["check"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(checks(17_100), ["capacity"]);
        assert_eq!(checks(17_101), ["capacity", "capacity.agents"]);
    }
}
