//! Every problem is told, with its key and line; the reference file says what is in force without it.

use std::path::Path;

use super::*;

fn places() -> Places {
    let home = |name: &str| (name == "HOME").then(|| "/home/ada".into());
    Places::new(Some(Path::new("/srv/rootcellar")), None, home).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let error = Config::parse(text, places()).unwrap_err();
    error.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn without_a_file_every_key_has_its_default() {
    let config = Config::parse("", places()).unwrap();
    assert_eq!(config.cell().as_str(), "cell.internal");
    assert_eq!(config.listen().to_string(), "127.0.0.1:7443");
    assert_eq!(config.server_at(None), "https://localhost:7443");
    assert_eq!(config.socket(), Path::new("/srv/rootcellar/officer.sock"));
    assert_eq!(config.issuing_token().pin.to_string(), "file:/srv/rootcellar/token/pin");
    assert_eq!(config.root_token().dir, Path::new("/home/ada/.config/rootcellar/officer/token"));
    assert!(config.settings().iter().all(|setting| !setting.written));
}

#[test]
fn what_is_written_is_in_force() {
    let text = "cell = \"prod.example\"\n[service]\nlisten = \"[::]:1\"\ndns-names = [\"ca.example\", \"ca\"]\n\
                [limits]\nconnections = 7\nrequest-timeout-most = \"2m\"\n\
                [token]\nmodule = \"/x.so\"\nissuing-key = \"rsa-3072\"\n[log]\nlevel = \"debug\"\n";
    let config = Config::parse(text, places()).unwrap();
    assert_eq!(
        (config.cell().as_str(), config.server_at(None).as_str()),
        ("prod.example", "https://ca.example:1")
    );
    assert_eq!(config.issuing_key(), KeyAlgorithm::RsaPss(3072));
    assert_eq!((config.log_level(), config.log_format()), (tracing::Level::DEBUG, LogFormat::Auto));
    let written: Vec<_> = config.settings().iter().filter(|s| s.written).map(|s| s.key).collect();
    assert_eq!(written.len(), 8, "{written:?}");
    let limits = config.limits();
    assert_eq!((limits.connections, limits.request_timeout_most.as_secs()), (7, 120));
}

#[test]
fn five_mistakes_are_told_at_once_with_key_and_line() {
    let text = "cell = \"Prod Example\"\n[service]\nlisten = 7443\nops-listen = \"0.0.0.0:7480\"\ncolour = \"red\"\n\
                [token]\nlog-key = \"p384\"\n";
    let problems = problems(text);
    let starts = [
        "line 1: cell: \"Prod Example\": trust domain",
        "line 3: service.listen: must be a text in quotes",
        "line 4: service.ops-listen: \"0.0.0.0:7480\": is not a loopback",
        "line 5: service.colour: is unknown",
        "line 7: token.log-key: \"p384\": a log's key",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem:?} does not start with {start:?}");
    }
}

#[test]
fn each_of_these_is_a_problem() {
    for (text, what) in [
        ("[service]\nsocket = \"x.sock\"", "line 2: service.socket: \"x.sock\": is not an absolute path"),
        ("[service]\ndns-names = []", "line 2: service.dns-names: needs at least one name"),
        ("[service]\naddresses = [\"127.0.0.1\", \"x\"]", "line 2: service.addresses: \"x\""),
        ("[service]\naddresses = [1]", "line 2: service.addresses: must be a list of texts"),
        (
            "[service]\ncrl-listen = \"7481\"",
            "line 2: service.crl-listen: \"7481\": is not of the form ADDRESS:PORT",
        ),
        ("service = 3", "line 1: service: is a section, not a value"),
        ("[tokens]\nuri = \"x\"", "line 1: tokens: is unknown"),
        ("[token]\nuri = \"pkcs11:token=a?pin-value=1\"", "line 2: token.uri"),
        ("[token]\npin = \"1234\"", "line 2: token.pin"),
        ("[token]\nprofile = \"nonesuch\"", "line 2: token.profile"),
        ("[certificates]\nattributes-oid = \"2.25.4294967295\"", "line 2: certificates.attributes-oid"),
        (
            "[limits]\nconnections = \"9\"",
            "line 2: limits.connections: must be a whole number, and is of type string",
        ),
        ("[limits]\nconnections = 0", "line 2: limits.connections: \"0\": is not a number from 1 to 1000000"),
        (
            "[limits]\nmessage-bytes = 1000000",
            "line 2: limits.message-bytes: \"1000000\": is not a number from 65536",
        ),
        ("[limits]\nrequests-per-agent = -1", "line 2: limits.requests-per-agent"),
        ("[limits]\nin-flight = 1.5", "line 2: limits.in-flight: must be a whole number"),
        (
            "[limits]\nrequest-timeout = \"10\"",
            "line 2: limits.request-timeout: \"10\": not a length of time",
        ),
        ("[limits]\ndrain = 1", "line 2: limits.drain: is unknown"),
        ("[log]\nlevel = \"3\"", "line 2: log.level: \"3\": is not one of error"),
        ("cell = \"a\"\ncell = \"b\"", "line 2: duplicate key"),
        ("cell = ", "line 1: "),
    ] {
        let problems = problems(text);
        assert!(problems.first().is_some_and(|first| first.starts_with(what)), "{text:?}: {problems:#?}");
        assert_eq!(problems.len(), 1, "{text:?}: {problems:#?}");
    }
    let long = format!("[service]\nsocket = \"/{}\"", "x".repeat(107));
    assert!(problems(&long)[0].contains("107 bytes"));
}

#[test]
fn the_reference_has_every_key_with_its_default() {
    let unwritten = Config::parse("", places()).unwrap();
    let reference = Config::parse(REFERENCE, places()).unwrap();
    for (default, written) in unwritten.settings().iter().zip(reference.settings()) {
        assert_eq!((default.key, &default.value), (written.key, &written.value));
        // A key that may be absent stands there as a comment.
        let commented = REFERENCE.contains(&format!("# {} = ", written.key.rsplit('.').next().unwrap()));
        assert!(
            written.written || (written.value.is_empty() && commented),
            "{} is not in the reference",
            written.key
        );
    }
}

#[test]
fn directories_come_from_flags_then_xdg_then_home() {
    let env = |name: &str| match name {
        "HOME" => Some("/home/ada".into()),
        "XDG_DATA_HOME" => Some("/data".into()),
        "XDG_CONFIG_HOME" => Some("relative/is/ignored".into()),
        _ => None,
    };
    let places = Places::new(None, None, env).unwrap();
    assert_eq!(places.data(), Path::new("/data/rootcellar"));
    assert_eq!(places.officer(), Path::new("/home/ada/.config/rootcellar/officer"));
    assert_eq!(places.state(), Path::new("/data/rootcellar"), "a home that is not there keeps nothing");
    assert!(Places::new(None, None, |_| None).unwrap_err().to_string().contains("--data-dir DIR"));
    assert!(Places::new(Some(Path::new("/d")), None, |_| None).is_ok());
}

#[test]
fn one_record_of_refused_pins_for_every_command_of_a_user() {
    let home = tempfile::tempdir().unwrap();
    let env = |name: &str| (name == "HOME").then(|| home.path().into());
    let kept = home.path().join(".local/state/rootcellar");
    for (data, officer) in [("/a", "/b"), ("/c", "/d")] {
        let places = Places::new(Some(Path::new(data)), Some(Path::new(officer)), env).unwrap();
        assert_eq!(places.state(), kept);
    }
    let env = |name: &str| (name == "XDG_STATE_HOME").then(|| "/state".into());
    assert_eq!(
        Places::new(Some(Path::new("/a")), None, env).unwrap().state(),
        Path::new("/state/rootcellar")
    );
    assert_eq!(Places::new(Some(Path::new("/a")), None, |_| None).unwrap().state(), Path::new("/a"));
}

#[test]
fn two_tokens_of_one_process_want_one_environment() {
    let standby = "[standby-token]\nuri = \"pkcs11:token=second\"\n";
    Config::parse(standby, places()).unwrap();
    let problems = problems(&format!("{standby}dir = \"/elsewhere\"\n"));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].starts_with("line 3: standby-token.dir: "), "{problems:#?}");
    assert!(problems[0].contains("SOFTHSM2_CONF"), "{problems:#?}");
}
