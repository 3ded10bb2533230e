//! `docs/reference/api.md` is what the .proto files and their comments say. `ROOTCELLAR_REGENERATE=1` writes it anew.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, ServiceDescriptorProto,
};

/// The package that the reference is about; names in it are shown without it.
const PACKAGE: &str = ".rootcellar.v1.";

// Field numbers in descriptor.proto: a comment's path is made of them and of indexes.
const MESSAGE: i32 = 4;
const ENUM: i32 = 5;
const SERVICE: i32 = 6;
const SYNTAX: i32 = 12;
const MEMBER: i32 = 2;

#[test]
fn the_reference_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> = fs::read_dir(root.join("rootcellar/v1"))
        .unwrap()
        .map(|entry| format!("rootcellar/v1/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    names.sort();
    let files = protox::compile(&names, [root]).unwrap().file;
    let mut text = String::from(
        "<!-- Made from proto/rootcellar/v1 by `make generate`; do not edit. -->\n\
         # The contract\n\n\
         Package `rootcellar.v1`, over gRPC. Every message is bounded before it is read; an error's reason is in \
         [errors.md](../errors.md).\n",
    );
    for file in files.iter().filter(|file| names.contains(&file.name().to_owned())) {
        text += &Chapter::of(file).text();
    }
    let kept = root.join("../docs/reference/api.md");
    if std::env::var_os("ROOTCELLAR_REGENERATE").is_some() {
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        fs::write(&kept, &text).unwrap();
    }
    assert!(
        fs::read_to_string(&kept).is_ok_and(|kept| kept == text),
        "docs/reference/api.md is not what the .proto files say: run `make generate`"
    );
}

/// One file of the contract.
struct Chapter<'a> {
    file: &'a FileDescriptorProto,
    /// Comments by the path of what they stand before.
    comments: HashMap<&'a [i32], &'a str>,
}

impl<'a> Chapter<'a> {
    fn of(file: &'a FileDescriptorProto) -> Self {
        let locations = &file.source_code_info.as_ref().unwrap().location;
        let comments = locations.iter().map(|at| (at.path.as_slice(), at.leading_comments()));
        Self { file, comments: comments.filter(|(_, comment)| !comment.is_empty()).collect() }
    }

    /// The comment at this path, in one line. Nothing in the contract is without one.
    fn comment(&self, path: &[i32]) -> String {
        let comment = self
            .comments
            .get(path)
            .unwrap_or_else(|| panic!("{}: {path:?} has no comment", self.file.name()));
        comment.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn text(&self) -> String {
        let name = self.file.name().rsplit('/').next().unwrap();
        let mut text = format!("\n## {name}\n\n{}\n", self.comment(&[SYNTAX]));
        for (i, service) in (0..).zip(&self.file.service) {
            self.service(&mut text, &[SERVICE, i], service);
        }
        for (i, message) in (0..).zip(&self.file.message_type) {
            self.message(&mut text, &[MESSAGE, i], message.name(), message);
        }
        for (i, values) in (0..).zip(&self.file.enum_type) {
            self.values(&mut text, &[ENUM, i], values);
        }
        text
    }

    fn service(&self, text: &mut String, path: &[i32], service: &ServiceDescriptorProto) {
        let comment = self.comment(path);
        write!(
            text,
            "\n### {}\n\n{comment}\n\n| method | request | answer | |\n|---|---|---|---|\n",
            service.name()
        )
        .unwrap();
        for (i, method) in (0..).zip(&service.method) {
            let stream = |streams, name| format!("{}{}", if streams { "stream of " } else { "" }, link(name));
            writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                method.name(),
                stream(method.client_streaming(), method.input_type()),
                stream(method.server_streaming(), method.output_type()),
                cell(&self.comment(&[path, &[MEMBER, i]].concat())),
            )
            .unwrap();
        }
    }

    fn message(&self, text: &mut String, path: &[i32], name: &str, message: &DescriptorProto) {
        assert!(
            message.nested_type.is_empty() && message.enum_type.is_empty(),
            "{name}: nested types are not shown"
        );
        write!(text, "\n### {name}\n\n{}\n", self.comment(path)).unwrap();
        if !message.field.is_empty() {
            text.push_str("\n| field | type | number | |\n|---|---|---|---|\n");
        }
        for (i, field) in (0..).zip(&message.field) {
            let comment = cell(&self.comment(&[path, &[MEMBER, i]].concat()));
            let choice = field.oneof_index.map(|i| message.oneof_decl[usize::try_from(i).unwrap()].name());
            let choice = choice.map(|name| format!(" One of `{name}`.")).unwrap_or_default();
            writeln!(
                text,
                "| `{}` | {} | {} | {comment}{choice} |",
                field.name(),
                type_of(field),
                field.number()
            )
            .unwrap();
        }
    }

    fn values(&self, text: &mut String, path: &[i32], values: &EnumDescriptorProto) {
        let comment = self.comment(path);
        write!(text, "\n### {}\n\n{comment}\n\n| value | number | |\n|---|---|---|\n", values.name())
            .unwrap();
        for (i, value) in (0..).zip(&values.value) {
            let comment = cell(&self.comment(&[path, &[MEMBER, i]].concat()));
            writeln!(text, "| `{}` | {} | {comment} |", value.name(), value.number()).unwrap();
        }
    }
}

fn type_of(field: &FieldDescriptorProto) -> String {
    let name = match field.r#type() {
        Type::Message | Type::Enum => link(field.type_name()),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    if field.label() == Label::Repeated { format!("repeated {name}") } else { name }
}

/// A type of the contract as a link to its heading; another as it is.
fn link(name: &str) -> String {
    match name.strip_prefix(PACKAGE) {
        Some(ours) => format!("[{ours}](#{})", ours.to_lowercase()),
        None => format!("`{}`", name.trim_start_matches('.')),
    }
}

/// A text that stays in its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
