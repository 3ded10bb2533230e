//! A PKCS#11 module that passes every call to another module, counts some of them, and misbehaves on command.
//!
//! `FAULT_MODULE` names the real module. `FAULT_DIR` names a directory: each `C_Login` and `C_Sign` adds a line to the file `logins` or
//! `signs` there (`C_Login` whether a PIN was sent, `C_Sign` what it is to sign, in hexadecimal). `C_GetTokenInfo` adds the flags in its file
//! `flags`, a decimal number, fails (CKR_DEVICE_ERROR) while its file `told` says `nothing`, and pads its texts with NUL while that says `NUL`,
//! as does `C_GetInfo`; a `C_Login` without a PIN takes it from the file `keypad`, as if it were entered at the token, and every one
//! returns the number in its file `login-rv` without looking at the PIN, and does not come back while its file `login-hangs` says `yes`. And `C_Sign` does what the first line of its file `fault` says, read
//! anew for each call:
//! `flip` (another signature than the key's), `rv=N` (returns N, decimal, without signing), `delay=N` (waits N milliseconds first),
//! `lasts=N` (answers after N milliseconds in all). Likewise `C_GenerateRandom` by its file `random`: `stuck` (every octet the same), `bias`
//! (three bits of chance in each), `repeat` (from now on the same octets at each call), and with `once-` before it for one call only. And
//! `C_OpenSession` fails (CKR_DEVICE_ERROR) for the token whose label is in the file `half-dead`: it is listed, and does nothing.
//! `C_DestroyObject` destroys nothing, and says that it did, while the file `undying` says `yes`, and
//! `C_GetAttributeValue` of one attribute that may not be read gives an octet for it while the file `readable` does.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cryptoki_sys::{
    CK_ATTRIBUTE_PTR, CK_BYTE_PTR, CK_FLAGS, CK_FUNCTION_LIST, CK_FUNCTION_LIST_PTR,
    CK_FUNCTION_LIST_PTR_PTR, CK_INFO_PTR, CK_NOTIFY, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE,
    CK_SESSION_HANDLE_PTR, CK_SLOT_ID, CK_TOKEN_INFO, CK_TOKEN_INFO_PTR, CK_ULONG, CK_ULONG_PTR,
    CK_USER_TYPE, CK_UTF8CHAR_PTR, CK_VOID_PTR, CKR_ARGUMENTS_BAD, CKR_ATTRIBUTE_SENSITIVE, CKR_DEVICE_ERROR,
    CKR_GENERAL_ERROR, CKR_OK,
};
use libloading::{Library, Symbol};

/// The real module, loaded once and never unloaded, and our copy of its function list.
struct Loaded {
    _library: Library,
    real: CK_FUNCTION_LIST,
    ours: CK_FUNCTION_LIST,
}

// SAFETY: function pointers and a library handle, never written after they are made.
unsafe impl Send for Loaded {}
// SAFETY: as above.
unsafe impl Sync for Loaded {}

static LOADED: OnceLock<Option<Loaded>> = OnceLock::new();

fn loaded() -> Option<&'static Loaded> {
    LOADED.get_or_init(load).as_ref()
}

fn load() -> Option<Loaded> {
    let path = std::env::var_os("FAULT_MODULE")?;
    // SAFETY: loading a PKCS#11 module runs its initialisers; which module, the test decides.
    let library = unsafe { Library::new(path) }.ok()?;
    type GetFunctionList = unsafe extern "C" fn(CK_FUNCTION_LIST_PTR_PTR) -> CK_RV;
    // SAFETY: PKCS#11 v3.1 §5.4.1 gives this symbol this type.
    let get: Symbol<'_, GetFunctionList> = unsafe { library.get(b"C_GetFunctionList") }.ok()?;
    let mut list: CK_FUNCTION_LIST_PTR = std::ptr::null_mut();
    // SAFETY: `list` is a valid place for a pointer.
    if unsafe { get(&raw mut list) } != CKR_OK || list.is_null() {
        return None;
    }
    // SAFETY: the module returned a pointer to a function list that it keeps for its lifetime.
    let real = unsafe { *list };
    let mut ours = real;
    ours.C_GetFunctionList = Some(C_GetFunctionList);
    ours.C_GetInfo = Some(info);
    ours.C_GetTokenInfo = Some(token_info);
    ours.C_OpenSession = Some(open_session);
    ours.C_DestroyObject = Some(destroy);
    ours.C_GetAttributeValue = Some(attributes);
    ours.C_Login = Some(login);
    ours.C_Sign = Some(sign);
    ours.C_GenerateRandom = Some(random);
    Some(Loaded { _library: library, real, ours })
}

/// The module's entry point (PKCS#11 v3.1 §5.4.1).
///
/// # Safety
/// `list` is null or a valid place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: CK_FUNCTION_LIST_PTR_PTR) -> CK_RV {
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    let Some(loaded) = loaded() else { return CKR_GENERAL_ERROR };
    // SAFETY: checked not to be null; the list is never changed, and callers only read it.
    unsafe { *list = (&raw const loaded.ours).cast_mut() };
    CKR_OK
}

unsafe extern "C" fn login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: CK_UTF8CHAR_PTR,
    length: CK_ULONG,
) -> CK_RV {
    record("logins", if pin.is_null() { "entered at the token" } else { "sent" });
    // A bound for a test that forgot it.
    let began = Instant::now();
    while read("login-hangs").trim() == "yes" && began.elapsed() < Duration::from_secs(60) {
        wait(Duration::from_millis(50));
    }
    if let Ok(rv) = read("login-rv").trim().parse() {
        return rv;
    }
    let Some(real) = loaded().and_then(|loaded| loaded.real.C_Login) else { return CKR_GENERAL_ERROR };
    if !pin.is_null() {
        // SAFETY: the caller's own arguments, passed on.
        return unsafe { real(session, user, pin, length) };
    }
    let mut entered = read("keypad").into_bytes();
    let length = CK_ULONG::try_from(entered.len()).unwrap_or_default();
    // SAFETY: `entered` lives until the call returns, and is as long as is said.
    unsafe { real(session, user, entered.as_mut_ptr(), length) }
}

unsafe extern "C" fn open_session(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    application: CK_VOID_PTR,
    notify: CK_NOTIFY,
    session: CK_SESSION_HANDLE_PTR,
) -> CK_RV {
    let Some(real) = loaded().and_then(|loaded| loaded.real.C_OpenSession) else { return CKR_GENERAL_ERROR };
    let dead = read("half-dead");
    if !dead.is_empty() && label(slot).is_some_and(|label| label == dead.trim()) {
        return CKR_DEVICE_ERROR;
    }
    // SAFETY: the caller's own arguments, passed on.
    unsafe { real(slot, flags, application, notify, session) }
}

unsafe extern "C" fn destroy(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> CK_RV {
    if read("undying").trim() == "yes" {
        return CKR_OK;
    }
    let Some(real) = loaded().and_then(|loaded| loaded.real.C_DestroyObject) else {
        return CKR_GENERAL_ERROR;
    };
    // SAFETY: the caller's own arguments, passed on.
    unsafe { real(session, object) }
}

unsafe extern "C" fn attributes(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: CK_ATTRIBUTE_PTR,
    count: CK_ULONG,
) -> CK_RV {
    let Some(real) = loaded().and_then(|loaded| loaded.real.C_GetAttributeValue) else {
        return CKR_GENERAL_ERROR;
    };
    // SAFETY: the caller's own arguments, passed on.
    let rv = unsafe { real(session, object, template, count) };
    if rv != CKR_ATTRIBUTE_SENSITIVE || count != 1 || read("readable").trim() != "yes" {
        return rv;
    }
    // SAFETY: PKCS#11 v3.1 §5.7.5: the template has one attribute, and its place, where there is one, was made for the length that this
    // function told before, which is 1.
    unsafe {
        (*template).ulValueLen = 1;
        if !(*template).pValue.is_null() {
            *(*template).pValue.cast::<u8>() = 0;
        }
    }
    CKR_OK
}

/// The label of the token in a slot, without its padding.
fn label(slot: CK_SLOT_ID) -> Option<String> {
    let real = loaded()?.real.C_GetTokenInfo?;
    let mut info = CK_TOKEN_INFO::default();
    // SAFETY: `info` is a valid place for what is written.
    let rv = unsafe { real(slot, &raw mut info) };
    (rv == CKR_OK).then(|| String::from_utf8_lossy(&info.label).trim_end().to_owned())
}

unsafe extern "C" fn token_info(slot: CK_SLOT_ID, info: CK_TOKEN_INFO_PTR) -> CK_RV {
    let Some(real) = loaded().and_then(|loaded| loaded.real.C_GetTokenInfo) else { return CKR_GENERAL_ERROR };
    // SAFETY: the caller's own arguments, passed on.
    let rv = unsafe { real(slot, info) };
    let told = read("told");
    if rv == CKR_OK && told.trim() == "nothing" {
        return CKR_DEVICE_ERROR;
    }
    if rv == CKR_OK {
        // SAFETY: the module has just written a CK_TOKEN_INFO there, and nobody else has it.
        let info = unsafe { &mut *info };
        info.flags |= read("flags").trim().parse().unwrap_or(0);
        if told.trim() == "NUL" {
            pad(&mut info.label);
            pad(&mut info.manufacturerID);
            pad(&mut info.model);
            pad(&mut info.serialNumber);
        }
    }
    rv
}

unsafe extern "C" fn info(info: CK_INFO_PTR) -> CK_RV {
    let Some(real) = loaded().and_then(|loaded| loaded.real.C_GetInfo) else { return CKR_GENERAL_ERROR };
    // SAFETY: the caller's own arguments, passed on.
    let rv = unsafe { real(info) };
    if rv == CKR_OK && read("told").trim() == "NUL" {
        // SAFETY: the module has just written a CK_INFO there, and nobody else has it.
        let info = unsafe { &mut *info };
        pad(&mut info.manufacturerID);
        pad(&mut info.libraryDescription);
    }
    rv
}

/// NUL where the standard says blanks (PKCS#11 v3.1 §3.1).
fn pad(text: &mut [u8]) {
    let end = text.iter().rposition(|octet| *octet != b' ').map_or(0, |last| last + 1);
    text[end..].fill(0);
}

unsafe extern "C" fn sign(
    session: CK_SESSION_HANDLE,
    data: CK_BYTE_PTR,
    data_length: CK_ULONG,
    signature: CK_BYTE_PTR,
    signature_length: CK_ULONG_PTR,
) -> CK_RV {
    let began = Instant::now();
    let Some(real) = loaded().and_then(|loaded| loaded.real.C_Sign) else { return CKR_GENERAL_ERROR };
    // A null signature asks for the length only (PKCS#11 v3.1 §5.2).
    if signature.is_null() {
        // SAFETY: the caller's own arguments, passed on.
        return unsafe { real(session, data, data_length, signature, signature_length) };
    }
    // SAFETY: PKCS#11 v3.1 §5.13.2: the caller gives as many octets as it says.
    let message =
        unsafe { std::slice::from_raw_parts(data, usize::try_from(data_length).unwrap_or_default()) };
    record("signs", &message.iter().map(|octet| format!("{octet:02x}")).collect::<String>());
    let fault = read("fault");
    let (kind, value) = fault.trim().split_once('=').unwrap_or((fault.trim(), ""));
    match kind {
        "rv" => return value.parse().unwrap_or(CKR_GENERAL_ERROR),
        "delay" => wait(millis(value)),
        _ => {}
    }
    // SAFETY: the caller's own arguments, passed on.
    let rv = unsafe { real(session, data, data_length, signature, signature_length) };
    if kind == "flip" && rv == CKR_OK {
        // SAFETY: the module has just written at least one octet there.
        unsafe { *signature ^= 1 };
    }
    if kind == "lasts" {
        wait(millis(value).saturating_sub(began.elapsed()));
    }
    rv
}

unsafe extern "C" fn random(session: CK_SESSION_HANDLE, out: CK_BYTE_PTR, length: CK_ULONG) -> CK_RV {
    let Some(real) = loaded().and_then(|loaded| loaded.real.C_GenerateRandom) else {
        return CKR_GENERAL_ERROR;
    };
    // SAFETY: the caller's own arguments, passed on.
    let rv = unsafe { real(session, out, length) };
    if rv != CKR_OK {
        return rv;
    }
    // SAFETY: PKCS#11 v3.1 §5.21.2: the caller's place has as many octets as it says, and the module has just written them.
    let octets = unsafe { std::slice::from_raw_parts_mut(out, usize::try_from(length).unwrap_or_default()) };
    misdraw(octets);
    CKR_OK
}

/// Spoils random octets as the file says.
fn misdraw(octets: &mut [u8]) {
    let Some(path) = directory().map(|directory| directory.join("random")) else { return };
    let fault = fs::read_to_string(&path).unwrap_or_default();
    let fault = fault.trim();
    let kind = match fault.strip_prefix("once-") {
        Some(kind) => {
            let _ = fs::remove_file(&path);
            kind
        }
        None => fault,
    };
    match kind {
        "stuck" => octets.fill(0x5a),
        "bias" => octets.iter_mut().for_each(|octet| *octet &= 7),
        // A full period of a generator whose every step is another octet: only that it comes again gives it away.
        "repeat" => {
            octets.iter_mut().zip((0..=u8::MAX).cycle()).for_each(|(octet, i)| *octet = i.wrapping_mul(167))
        }
        _ => {}
    }
}

fn millis(value: &str) -> Duration {
    Duration::from_millis(value.parse().unwrap_or_default())
}

#[expect(clippy::disallowed_methods, reason = "a slow token is what is asked for")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

fn directory() -> Option<PathBuf> {
    std::env::var_os("FAULT_DIR").map(PathBuf::from)
}

/// A file of the directory; empty where there is none.
fn read(name: &str) -> String {
    let file = directory().map(|directory| fs::read_to_string(directory.join(name)));
    file.and_then(Result::ok).unwrap_or_default()
}

fn record(name: &str, line: &str) {
    if let Some(directory) = directory()
        && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(directory.join(name))
    {
        // A line that cannot be kept shows in the test as a count that is too low. One write: lines of several threads do not mix.
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}
