//! Decodes a message of the contract strictly: nothing in its bytes may be skipped or overwritten by a decoder.
//!
//! A protobuf decoder skips fields that it does not know, and keeps the last of a field that stands twice. Of bytes that are signed, that
//! is what a reader of the signature and a reader of the message could disagree about. Order and presence of fields are free.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::DESCRIPTORS;

/// Most fields of a message and all those in it: a hundred agents with all that they may have are half of it.
const FIELDS_MAX: usize = 10_000;
/// Deepest nesting of messages: those of the contract have three levels.
const DEPTH_MAX: usize = 8;

/// The caller's fault: bytes that are not exactly one message of the contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStrict {
    /// No protobuf, or not of this message.
    #[error("it is not a serialised {0}")]
    Malformed(&'static str),
    /// A field that the message does not have.
    #[error("{message} has no field {number}")]
    Unknown {
        /// Name of the message.
        message: String,
        /// Number of the field.
        number: u32,
    },
    /// A field that may stand once stands twice, or two of a oneof do.
    #[error("{message}.{field} stands twice")]
    Repeated {
        /// Name of the message.
        message: String,
        /// Name of the field.
        field: String,
    },
}

/// Decodes the message `rootcellar.v1.<name>`.
///
/// # Errors
/// [`NotStrict`].
pub fn decode<M: Message + Default>(name: &'static str, bytes: &[u8]) -> Result<M, NotStrict> {
    let mut left = FIELDS_MAX;
    walk(name, &format!("{PACKAGE}{name}"), bytes, DEPTH_MAX, &mut left)?;
    M::decode(bytes).map_err(|_| NotStrict::Malformed(name))
}

const PACKAGE: &str = ".rootcellar.v1.";

/// Every message of the contract and its imports, by full name.
static MESSAGES: LazyLock<HashMap<String, Fields>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(DESCRIPTORS).map(|set| set.file).unwrap_or_default();
    let mut messages = HashMap::new();
    for file in &files {
        collect(&format!(".{}", file.package()), &file.message_type, &mut messages);
    }
    messages
});

type Fields = HashMap<u32, Field>;

struct Field {
    name: String,
    repeated: bool,
    wire_type: WireType,
    /// Full name of the message that it holds.
    message: Option<String>,
    /// Which oneof it is of.
    oneof: Option<i32>,
}

fn collect(scope: &str, from: &[DescriptorProto], messages: &mut HashMap<String, Fields>) {
    for message in from {
        let name = format!("{scope}.{}", message.name());
        collect(&name, &message.nested_type, messages);
        let fields =
            message.field.iter().filter_map(|field| Some((u32::try_from(field.number()).ok()?, field)));
        messages.insert(name, fields.map(|(number, field)| (number, Field::of(field))).collect());
    }
}

impl Field {
    fn of(field: &FieldDescriptorProto) -> Self {
        let wire_type = match field.r#type() {
            Type::Double | Type::Fixed64 | Type::Sfixed64 => WireType::SixtyFourBit,
            Type::Float | Type::Fixed32 | Type::Sfixed32 => WireType::ThirtyTwoBit,
            Type::String | Type::Bytes | Type::Message => WireType::LengthDelimited,
            Type::Group => WireType::StartGroup,
            _ => WireType::Varint,
        };
        let message = matches!(field.r#type(), Type::Message).then(|| field.type_name().to_owned());
        Self {
            name: field.name().to_owned(),
            repeated: field.label() == Label::Repeated,
            wire_type,
            message,
            oneof: field.oneof_index,
        }
    }

    /// Numbers of a repeated field may stand packed (protobuf's encoding guide, "Packed Repeated Fields").
    fn takes(&self, wire_type: WireType) -> bool {
        wire_type == self.wire_type || (self.repeated && wire_type == WireType::LengthDelimited)
    }
}

fn walk(
    root: &'static str,
    message: &str,
    mut bytes: &[u8],
    depth: usize,
    left: &mut usize,
) -> Result<(), NotStrict> {
    let malformed = || NotStrict::Malformed(root);
    let fields = MESSAGES.get(message).filter(|_| depth > 0).ok_or_else(malformed)?;
    let shown = || message.trim_start_matches(PACKAGE).trim_start_matches('.').to_owned();
    let (mut once, mut oneofs) = (Vec::new(), Vec::new());
    while !bytes.is_empty() {
        *left = left.checked_sub(1).ok_or_else(malformed)?;
        let (number, wire_type) = decode_key(&mut bytes).map_err(|_| malformed())?;
        let field = fields.get(&number).ok_or_else(|| NotStrict::Unknown { message: shown(), number })?;
        if !field.takes(wire_type) {
            return Err(malformed());
        }
        let twice = (!field.repeated && once.contains(&number))
            || field.oneof.is_some_and(|oneof| oneofs.contains(&oneof));
        if twice {
            return Err(NotStrict::Repeated { message: shown(), field: field.name.clone() });
        }
        once.push(number);
        oneofs.extend(field.oneof);
        let value = take(&mut bytes, wire_type).ok_or_else(malformed)?;
        if let Some(inner) = &field.message {
            walk(root, inner, value, depth - 1, left)?;
        }
    }
    Ok(())
}

/// The value that follows a key; empty for a varint.
fn take<'a>(bytes: &mut &'a [u8], wire_type: WireType) -> Option<&'a [u8]> {
    let length = match wire_type {
        WireType::Varint => {
            decode_varint(bytes).ok()?;
            0
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(bytes).ok()?).ok()?,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::revoke_certificate_body::Target;
    use crate::v1::{Agent, IssueCertificateBody, RevokeCertificateBody, UpdateAgentBody};

    fn issue() -> IssueCertificateBody {
        IssueCertificateBody {
            agent: "agents/a".into(),
            csr: vec![1, 2, 3],
            lifetime: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            request_id: "once".into(),
            description: Some(Agent { roles: vec!["a".into(), "b".into()], ..Agent::default() }),
            allow_missing: true,
        }
    }

    fn strictly(bytes: &[u8]) -> Result<IssueCertificateBody, NotStrict> {
        decode("IssueCertificateBody", bytes)
    }

    #[test]
    fn a_message_in_any_order_is_taken_as_it_is() {
        let bytes = issue().encode_to_vec();
        assert_eq!(strictly(&bytes), Ok(issue()));
        // The first field, agent, put behind all others.
        let (agent, rest) = bytes.split_at(2 + "agents/a".len());
        assert_eq!(strictly(&[rest, agent].concat()), Ok(issue()));
        assert_eq!(strictly(&[]), Ok(IssueCertificateBody::default()));
        let update = UpdateAgentBody {
            update_mask: Some(prost_types::FieldMask { paths: vec!["roles".into(), "tags".into()] }),
            ..UpdateAgentBody::default()
        };
        assert_eq!(decode("UpdateAgentBody", &update.encode_to_vec()), Ok(update));
    }

    #[test]
    fn what_a_decoder_would_skip_or_overwrite_is_refused_and_named() {
        let bytes = issue().encode_to_vec();
        let with = |more: &[u8]| [bytes.as_slice(), more].concat();
        let unknown = NotStrict::Unknown { message: "IssueCertificateBody".into(), number: 15 };
        assert_eq!(strictly(&with(&[0x78, 1])), Err(unknown));
        let twice = |message: &str, field: &str| {
            Err(NotStrict::Repeated { message: message.into(), field: field.into() })
        };
        assert_eq!(strictly(&with(&[0x0a, 1, b'x'])), twice("IssueCertificateBody", "agent"));
        // Two messages would be merged: one in another, as well.
        assert_eq!(strictly(&with(&[0x1a, 0])), twice("IssueCertificateBody", "lifetime"));
        let nested = [0x2a, 6, 0x0a, 1, b'x', 0x0a, 1, b'y'];
        assert_eq!(strictly(&nested), twice("Agent", "name"));
        let revoke =
            |target| RevokeCertificateBody { target: Some(target), ..RevokeCertificateBody::default() };
        let two = [revoke(Target::Agent("a".into())), revoke(Target::Serial("1".into()))];
        let two = two.map(|one| one.encode_to_vec()).concat();
        let answer = decode::<RevokeCertificateBody>("RevokeCertificateBody", &two);
        assert!(matches!(answer, Err(NotStrict::Repeated { .. })), "{answer:?}");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let malformed = Err(NotStrict::Malformed("IssueCertificateBody"));
        for bytes in [
            &b"\x0a"[..],
            b"\x0a\x05ab",
            b"\x08\x01",
            b"\x0b",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            // No UTF-8.
            b"\x0a\x01\xff",
        ] {
            assert_eq!(strictly(bytes), malformed, "{bytes:02x?}");
        }
    }
}
