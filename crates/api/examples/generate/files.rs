//! What the generated files hold.

use std::error::Error;
use std::fmt::Write as _;

use petiole_api::crds::{crds, file_name};
use petiole_api::examples::{Example, Object, examples};
use serde_json::Value as Json;
use serde_yaml::{Mapping, Value as Yaml};

/// How the files are written.
pub(crate) const COMMAND: &str = "cargo run -p petiole-api --example generate";

/// Nothing that a generator could do better than to say it and end.
pub(crate) type Failure = Box<dyn Error>;

/// Paths from the repository's root, and what the files hold.
pub(crate) fn generated() -> Result<Vec<(String, String)>, Failure> {
    let mut files = Vec::new();
    for crd in crds() {
        let text = format!("# Written by `{COMMAND}`.\n{}", serde_yaml::to_string(&crd)?);
        files.push((format!("crds/{}", file_name(&crd)), text));
    }
    for example in examples() {
        files.push((format!("manifests/examples/{}", example.file), text_of(&example)?));
    }
    Ok(files)
}

fn text_of(example: &Example) -> Result<String, Failure> {
    let mut text = String::new();
    for line in example.about.lines() {
        writeln!(text, "# {line}")?;
    }
    writeln!(text, "# Written by `{COMMAND}`.")?;
    for object in &example.objects {
        text.push_str("---\n");
        let (in_order, schema) = match object {
            Object::TaskQueue(queue) => (serde_yaml::to_value(queue)?, schema_of("TaskQueue")?),
            Object::WorkerPool(pool) => (serde_yaml::to_value(pool)?, schema_of("WorkerPool")?),
            Object::Secret(secret) => (serde_yaml::to_value(secret)?, Json::Null),
        };
        let shown = only(in_order, &object.to_value()?);
        if let Yaml::Mapping(fields) = &shown {
            write_fields(&mut text, fields, &schema, "", "")?;
        }
    }
    Ok(text)
}

fn schema_of(kind: &str) -> Result<Json, Failure> {
    let crd = crds().into_iter().find(|crd| crd.spec.names.kind == kind).ok_or("there is no such kind")?;
    let version = crd.spec.versions.into_iter().next().ok_or("there is no version")?;
    Ok(serde_json::to_value(version.schema.and_then(|schema| schema.open_api_v3_schema))?)
}

/// Of `value`, whose fields stand in the order of the types, what `shown` has.
fn only(value: Yaml, shown: &Json) -> Yaml {
    match value {
        Yaml::Mapping(fields) => {
            let keep = |(key, value): (Yaml, Yaml)| {
                let shown = shown.get(key.as_str()?)?;
                Some((key, only(value, shown)))
            };
            Yaml::Mapping(fields.into_iter().filter_map(keep).collect())
        }
        Yaml::Sequence(items) => {
            let item = |(index, item)| only(item, &shown[index]);
            Yaml::Sequence(items.into_iter().enumerate().map(item).collect())
        }
        plain => plain,
    }
}

/// Writes fields line by line, each below the first sentence of what the schema says of it.
fn write_fields(
    text: &mut String,
    fields: &Mapping,
    schema: &Json,
    first: &str,
    indent: &str,
) -> Result<(), Failure> {
    let mut lead = first;
    for (key, value) in fields {
        let key = key.as_str().unwrap_or_default();
        let schema = &schema["properties"][key];
        // The kinds' own descriptions stand in the example's first lines.
        let about = schema["description"].as_str().filter(|_| !indent.is_empty());
        if let Some(sentence) = about.and_then(|about| about.split_terminator(". ").next()) {
            let comment = format!("# {}\n", sentence.trim_end_matches('.'));
            // Said once in a file.
            if !text.contains(&comment) {
                write!(text, "{lead}{comment}")?;
                lead = indent;
            }
        }
        write!(text, "{lead}{key}:")?;
        write_value(text, value, schema, indent)?;
        lead = indent;
    }
    Ok(())
}

fn write_value(text: &mut String, value: &Yaml, schema: &Json, indent: &str) -> Result<(), Failure> {
    let inner = format!("{indent}  ");
    match value {
        Yaml::Mapping(fields) => {
            text.push('\n');
            write_fields(text, fields, schema, &inner, &inner)
        }
        Yaml::Sequence(items) if items.iter().all(|item| !item.is_mapping()) => {
            Ok(writeln!(text, " {}", serde_json::to_string(items)?.replace("\",\"", "\", \""))?)
        }
        Yaml::Sequence(items) => {
            text.push('\n');
            for item in items {
                if let Yaml::Mapping(fields) = item {
                    let mut entry = String::new();
                    write_fields(&mut entry, fields, &schema["items"], &inner, &inner)?;
                    // The entry's dash stands before its first field, below what is said of it.
                    let dash =
                        entry.lines().position(|line| !line.trim_start().starts_with('#')).unwrap_or(0);
                    for (number, line) in entry.lines().enumerate() {
                        let rest = line.strip_prefix(inner.as_str()).unwrap_or(line);
                        let lead = if number == dash { format!("{indent}- ") } else { inner.clone() };
                        writeln!(text, "{lead}{rest}")?;
                    }
                }
            }
            Ok(())
        }
        plain => {
            let plain = serde_yaml::to_string(plain)?;
            if plain.starts_with('|') {
                text.push_str(" |\n");
                for line in plain.lines().skip(1) {
                    writeln!(text, "{inner}{}", line.trim_start())?;
                }
                Ok(())
            } else {
                Ok(write!(text, " {plain}")?)
            }
        }
    }
}
