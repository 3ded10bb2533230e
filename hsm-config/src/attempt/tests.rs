//! One try, as the record keeps it.

use super::*;

fn pin(text: &str) -> Pin {
    Pin::new(text.into())
}

fn attempt(guard: &PinGuard, text: &str, outcome: Result<(), bool>) -> Result<Result<(), bool>, PinError> {
    guard.attempt(&token("a"), &pin(text), || outcome, |refused| *refused)
}

fn token(label: &str) -> TokenName {
    let zeros = "0000000000000000".to_owned();
    TokenName { manufacturer: "Infineon".into(), model: "SLB9670".into(), label: label.into(), serial: zeros }
}

#[test]
fn tokens_of_one_serial_number_are_kept_apart() {
    let dir = tempfile::tempdir().unwrap();
    let guard = PinGuard::new(dir.path());
    assert!(attempt(&guard, "wrong", Err(true)).is_err());
    let other = guard.attempt(&token("b"), &pin("right"), || Ok::<(), bool>(()), |_| true);
    assert_eq!(other.unwrap(), Ok(()));
    assert_eq!(guard.remembered().unwrap(), [token("a")], "the other's login forgives nothing");
    let again = attempt(&guard, "wrong", Ok(()));
    assert!(again.unwrap_err().to_string().contains("clear-pin-failure a`"));
}

#[test]
fn a_refused_pin_is_not_tried_again_and_another_is() {
    let dir = tempfile::tempdir().unwrap();
    let guard = PinGuard::new(dir.path());
    assert!(attempt(&guard, "wrong", Err(true)).is_err());
    let mut tried = false;
    let again = PinGuard::new(dir.path()).attempt(
        &token("a"),
        &pin("wrong"),
        || {
            tried = true;
            Ok::<(), bool>(())
        },
        |_| true,
    );
    assert!(matches!(again, Err(PinError::Refused(PinRefused { earlier: true, .. }))));
    assert!(!tried);
    assert!(attempt(&guard, "right", Ok(())).unwrap().is_ok());
}

#[test]
fn a_second_wrong_pin_does_not_make_the_first_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let guard = PinGuard::new(dir.path());
    assert!(attempt(&guard, "A", Err(true)).is_err());
    let record = fs::read(dir.path().join("pin-attempts.json")).unwrap();
    // The token is away: what was known stays as it was.
    assert_eq!(attempt(&guard, "B", Err(false)).unwrap(), Err(false));
    assert_eq!(fs::read(dir.path().join("pin-attempts.json")).unwrap(), record);
    assert!(attempt(&guard, "B", Err(true)).is_err());
    for pin in ["A", "B", "A"] {
        let again = attempt(&guard, pin, Ok(()));
        assert!(matches!(again, Err(PinError::Refused(PinRefused { earlier: true, .. }))), "{pin}");
    }
    assert_eq!(guard.remembered().unwrap(), [token("a")]);
    assert_eq!(attempt(&guard, "right", Ok(())).unwrap(), Ok(()));
    assert_eq!(guard.remembered().unwrap(), []);
}

#[test]
fn after_three_tries_none_is_made_before_they_are_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let guard = PinGuard::new(dir.path());
    for pin in ["A", "B", "C"] {
        assert!(attempt(&guard, pin, Err(true)).is_err());
    }
    let said = attempt(&guard, "right", Ok(())).unwrap_err().to_string();
    assert!(said.contains("no PIN is tried") && said.contains("clear-pin-failure a`"), "{said}");
    guard.clear(&token("a")).unwrap();
    assert_eq!(attempt(&guard, "right", Ok(())).unwrap(), Ok(()));
}

#[test]
fn a_crash_in_mid_try_allows_two_tries_and_no_third() {
    let dir = tempfile::tempdir().unwrap();
    let guard = PinGuard::new(dir.path());
    for expected in [true, true, false] {
        let mut tried = false;
        let crash = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = guard.attempt(
                &token("a"),
                &pin("1234"),
                || -> Result<(), bool> {
                    tried = true;
                    panic!("crash")
                },
                |_| true,
            );
        }));
        assert_eq!(crash.is_err(), expected);
        assert_eq!(tried, expected);
    }
}

#[test]
fn two_at_once_make_one_try() {
    let dir = tempfile::tempdir().unwrap();
    let tries = std::sync::atomic::AtomicU32::new(0);
    let login = || {
        PinGuard::new(dir.path()).attempt(
            &token("a"),
            &pin("wrong"),
            || {
                tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                Err::<(), bool>(true)
            },
            |refused| *refused,
        )
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..3).map(|_| scope.spawn(login)).collect();
        assert!(others.into_iter().all(|other| other.join().unwrap().is_err()));
    });
    assert_eq!(tries.into_inner(), 1);
}

#[test]
fn a_token_that_is_away_costs_no_try() {
    let dir = tempfile::tempdir().unwrap();
    let guard = PinGuard::new(dir.path());
    for _ in 0..5 {
        assert_eq!(attempt(&guard, "1234", Err(false)).unwrap(), Err(false));
    }
}

#[test]
fn the_record_holds_no_pin_and_without_it_there_is_no_try() {
    let dir = tempfile::tempdir().unwrap();
    let guard = PinGuard::new(dir.path());
    let _ = attempt(&guard, "s3cretPIN", Err(true));
    let record = fs::read_to_string(dir.path().join("pin-attempts.json")).unwrap();
    assert!(!record.contains("s3cretPIN"));
    let nowhere = PinGuard::new(&dir.path().join("pin-attempts.json"));
    let mut tried = false;
    assert!(
        nowhere
            .attempt(
                &token("a"),
                &pin("1"),
                || {
                    tried = true;
                    Ok::<(), bool>(())
                },
                |_| true
            )
            .is_err()
    );
    assert!(!tried);
}
