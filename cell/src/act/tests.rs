use super::*;
use crate::{BoundedSet, Budget, MaxTtl};

type Fields = Vec<(String, String)>;

/// The text of one act, as an officer would read it.
const ADD: &str = "\
controller: build
public-key: MCowBQYDK2VwAyEA
grant: default
grant.agents: build/*, scan/x
grant.roles: logger, scanner
grant.tags: project-blue
grant.max-ttl: 3600s
grant.budget-per-hour: 1000
grant: tests
grant.agents: *
grant.dns: *.test.example, a.example
grant.max-ttl: 60s
grant.budget-per-hour: 1";

fn fields(text: &str) -> Fields {
    text.lines()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn add() -> Act {
    Act::parse("controller.add", &fields(ADD)).unwrap()
}

fn refused(act: &str, text: &str) -> ActError {
    Act::parse(act, &fields(text)).unwrap_err()
}

fn every_act() -> Vec<Act> {
    let Act::ControllerAdd { name, public_key, grants } = add() else { panic!("not what it was") };
    let grant = grants.as_slice()[0].clone();
    let revoke = |target| Act::CertificateRevoke { target, reason: RevocationReason::KeyCompromise };
    vec![
        Act::Freeze,
        Act::Thaw,
        Act::RenewalsStop,
        Act::RenewalsStopConfirm,
        Act::ClockConfirm { entries: 17 },
        Act::EpochOpen {
            epoch: "prod.example/log/2".parse().unwrap(),
            kept: Tree { size: 7, root: [1; 32] },
            lost: Tree { size: 9, root: [2; 32] },
            certificates: LostCertificates::Until("2026-01-08T00:00:00Z".parse().unwrap()),
            revoked: Vec::new(),
        },
        Act::EpochOpen {
            epoch: "prod.example/log/3".parse().unwrap(),
            kept: Tree { size: 7, root: [1; 32] },
            lost: Tree { size: 9, root: [2; 32] },
            certificates: LostCertificates::Retired([3; 32]),
            revoked: ["0a00 key-compromise", "0b00 unspecified"].map(|text| text.parse().unwrap()).to_vec(),
        },
        revoke(RevocationTarget::Entry(17)),
        revoke(RevocationTarget::Serial("0a00".parse().unwrap())),
        revoke(RevocationTarget::Agent("build/a".parse().unwrap())),
        revoke(RevocationTarget::IssuedSince {
            controller: name.clone(),
            since: "2026-01-01T00:00:00Z".parse().unwrap(),
        }),
        add(),
        Act::ControllerRemove { name: name.clone() },
        Act::ControllerReissue { name: name.clone(), public_key },
        Act::GrantRemove { controller: name.clone(), grant: grant.name.clone() },
        Act::GrantSet { controller: name, grant },
    ]
}

#[test]
fn the_text_says_what_the_act_is() {
    let Act::ControllerAdd { name, public_key, grants } = add() else { panic!("another act") };
    assert_eq!(name.as_str(), "build");
    assert_eq!(public_key.as_bytes(), b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00");
    let [first, second] = grants.as_slice() else { panic!("not two grants") };
    assert_eq!((first.max_ttl.secs(), first.budget.per_hour()), (3600, 1000));
    assert_eq!(first.agents.iter().map(ToString::to_string).collect::<Vec<_>>(), ["build/*", "scan/x"]);
    assert!(first.dns.is_empty() && second.roles.is_empty() && second.tags.is_empty());
    assert_eq!(second.dns.len(), 2);
}

#[test]
fn every_act_comes_back_from_its_fields() {
    assert_eq!(add().fields(), fields(ADD));
    for act in every_act() {
        assert_eq!(Act::parse(act.name(), &act.fields()).as_ref(), Ok(&act), "{}", act.name());
    }
}

#[test]
fn every_value_is_one_line_of_printable_ascii() {
    for (field, value) in every_act().iter().flat_map(Act::fields) {
        assert!(field.bytes().all(|b| b.is_ascii_graphic()), "{field}");
        assert!(value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && !value.is_empty(), "{value}");
    }
}

#[test]
fn no_field_can_be_left_out_repeated_moved_or_renamed() {
    for act in every_act() {
        let good = act.fields();
        for i in 0..good.len() {
            let mut without = good.clone();
            let (name, _) = without.remove(i);
            // A list that is left out is empty, which is another act and never the same one.
            assert_ne!(Act::parse(act.name(), &without).as_ref(), Ok(&act), "{name} left out");
            let mut twice = good.clone();
            twice.insert(i, good[i].clone());
            assert!(Act::parse(act.name(), &twice).is_err(), "{name} twice");
            let mut renamed = good.clone();
            renamed[i].0 = "other".to_owned();
            assert!(Act::parse(act.name(), &renamed).is_err(), "{name} renamed");
            if i > 0 {
                let mut moved = good.clone();
                moved.swap(i - 1, i);
                assert!(Act::parse(act.name(), &moved).is_err(), "{name} moved");
            }
        }
        let mut more = good.clone();
        more.push(("more".to_owned(), "x".to_owned()));
        assert_eq!(Act::parse(act.name(), &more).unwrap_err(), ActError::Unexpected("more".to_owned()));
        assert_eq!(Act::parse(act.name(), &[]).is_ok(), act.fields().is_empty());
    }
}

#[test]
fn an_act_is_read_under_its_own_name_only() {
    for act in every_act() {
        for other in every_act().iter().filter(|other| other.name() != act.name()) {
            assert!(Act::parse(other.name(), &act.fields()).as_ref() != Ok(&act));
        }
    }
    assert_eq!(refused("controller.Add", ADD), ActError::UnknownAct("controller.Add".to_owned()));
    assert_eq!(refused("", ADD), ActError::UnknownAct(String::new()));
}

#[test]
fn a_value_has_one_spelling() {
    for (from, to, field) in [
        ("build/*, scan/x", "scan/x, build/*", "grant.agents"),
        ("logger, scanner", "logger, logger, scanner", "grant.roles"),
        ("3600s", "03600s", "grant.max-ttl"),
        ("3600s", "+3600s", "grant.max-ttl"),
        ("hour: 1000", "hour: 01000", "grant.budget-per-hour"),
    ] {
        let error = refused("controller.add", &ADD.replacen(from, to, 1));
        assert_eq!(error, ActError::NotCanonical(field.to_owned()), "{to}");
    }
    let swapped = ADD.replace("grant: default", "grant: z");
    assert_eq!(refused("controller.add", &swapped), ActError::NotCanonical("grant".to_owned()));
}

#[test]
fn a_value_out_of_bounds_is_refused_with_its_field() {
    for (from, to) in [
        ("logger, scanner", "logger,scanner"),
        ("logger, scanner", "logger, "),
        ("build/*, scan/x", "controller/*"),
        ("3600s", "3600"),
        ("3600s", "1h"),
        ("MCowBQYDK2VwAyEA", "MCowBQYDK2VwAyE"),
        ("MCowBQYDK2VwAyEA", "MCowBQYDK2VwAyF="),
        ("controller: build", "controller: Build"),
        ("project-blue", "project-blue\u{202e}"),
    ] {
        let error = refused("controller.add", &ADD.replacen(from, to, 1));
        assert!(matches!(error, ActError::Value { .. }), "{to}: {error}");
    }
    let error = refused("controller.add", &ADD.replacen("3600s", "9s", 1));
    assert_eq!(error, ActError::Grants(crate::GrantError::Ttl(9)));
    let error = refused("controller.add", &ADD.replacen("grant: tests", "grant: default", 1));
    assert!(matches!(error, ActError::Grants(crate::GrantError::SameName(_))));
}

#[test]
fn a_public_key_has_a_bound() {
    assert!(SpkiDer::try_from(vec![0; 1024]).is_ok() && SpkiDer::try_from(vec![0; 1]).is_ok());
    assert!(SpkiDer::try_from(vec![0; 1025]).is_err() && SpkiDer::try_from(vec![]).is_err());
}

#[test]
fn sixteen_grants_are_read_and_seventeen_refused() {
    let act = |n: usize| {
        let grant = |i| format!("\ngrant: g{i}\ngrant.max-ttl: 60s\ngrant.budget-per-hour: 1");
        let grants = (10..10 + n).map(grant).collect::<Vec<_>>().concat();
        Act::parse("controller.add", &fields(&format!("controller: c\npublic-key: AAAA{grants}")))
    };
    assert!(act(16).is_ok());
    assert_eq!(act(17).unwrap_err(), ActError::Grants(crate::GrantError::Count(17)));
    assert_eq!(act(0).unwrap_err(), ActError::Missing("grant"));
}

#[test]
fn too_many_bytes_are_refused_before_they_are_read() {
    let of = |n: usize| vec![("x".to_owned(), "y".repeat(n - 1))];
    assert_eq!(Act::parse("controller.add", &of(MAX_FIELDS_BYTES + 1)).unwrap_err(), ActError::TooLarge);
    assert_eq!(
        Act::parse("controller.add", &of(MAX_FIELDS_BYTES)).unwrap_err(),
        ActError::Missing("controller")
    );
}

#[test]
fn an_empty_grant_is_written_without_lists() {
    let grant = Grant {
        name: "none".parse().unwrap(),
        agents: BoundedSet::empty(),
        roles: BoundedSet::empty(),
        tags: BoundedSet::empty(),
        dns: BoundedSet::empty(),
        max_ttl: MaxTtl::try_from(10).unwrap(),
        budget: Budget::try_from(1).unwrap(),
    };
    let act = Act::GrantSet { controller: "c".parse().unwrap(), grant };
    let names: Vec<_> = act.fields().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["controller", "grant", "grant.max-ttl", "grant.budget-per-hour"]);
}

#[test]
fn what_narrows_trust_needs_one_officer_and_nothing_else_does() {
    let alone: Vec<_> = every_act().iter().map(Act::name).filter(|name| Act::is_for_one(name)).collect();
    assert_eq!(alone, ["freeze", "renewals.stop"]);
}

#[test]
fn a_revocation_names_one_target_and_a_reason_of_its_list() {
    for (bad, what) in [
        ("certificate: 17\nserial: 0a\nreason: superseded", "two targets"),
        ("certificate: 17", "no reason"),
        ("reason: superseded", "no target"),
        ("certificate: 017\nreason: superseded", "a leading zero"),
        ("serial: 00aa\nreason: superseded", "leading zeros"),
        ("serial: AA\nreason: superseded", "upper case"),
        ("agent: a\nreason: certificate-hold", "a reason that could not be relied on"),
        ("agent: a\nreason: remove-from-crl", "a reason that undoes one"),
        ("controller: build\nsince: yesterday\nreason: superseded", "no time"),
        ("controller: build\nsince: 2026-01-01T01:00:00+01:00\nreason: superseded", "another form of a time"),
    ] {
        assert!(Act::parse("certificate.revoke", &fields(bad)).is_err(), "{what}");
    }
    assert!(Act::parse("freeze", &fields("agent: a")).is_err());
    for number in [6, 7, 8, 11, -1] {
        assert!(RevocationReason::try_from(number).is_err(), "{number}");
    }
}
