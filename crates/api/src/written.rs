//! Types that are a string in YAML: their serde and their schema, with a rule whose message says what to write.

/// Gives a type that prints and parses as text its serde and schema: at least `$min` and at most `$max` characters that
/// match `$pattern`.
macro_rules! written_as_text {
    ($type:ident, $pattern:expr, $min:literal, $max:expr, $message:literal) => {
        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <::std::borrow::Cow<'_, str> as ::serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(::serde::de::Error::custom)
            }
        }

        impl ::schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                ::schemars::json_schema!({
                    "type": "string",
                    "minLength": $min,
                    "maxLength": $max,
                    "x-kubernetes-validations": [{
                        "rule": format!("self.matches('^{}$')", $pattern),
                        "message": $message,
                    }],
                })
            }
        }
    };
}

pub(crate) use written_as_text;
