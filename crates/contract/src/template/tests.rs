use super::*;

const SCOPE: Scope<'static> = Scope {
    args: br#"[ "cat.jpg", 12, {"user": {"name": "Zo\u00eb"}, "tags" : [ "a b", "\"c\\" ] } , null, true]"#,
    kwargs: br#"{"size": 640, "odd key": "x", "big": 123456789012345678901234567890, "pi": 3.10}"#,
    id: "e316e9d9",
    task: "thumbs.make",
    retries: 2,
};

fn render(text: &str) -> Result<String, RenderError> {
    Template::parse(text).unwrap().render(&SCOPE)
}

fn refusal(text: &str) -> String {
    Template::parse(text).unwrap_err().to_string()
}

#[test]
fn values_are_rendered_by_their_kind() {
    for (template, argument) in [
        ("plain", "plain"),
        ("", ""),
        ("$(args[0])", "cat.jpg"),
        ("--size=$(kwargs.size)x$(args[1])", "--size=640x12"),
        (r#"$(kwargs["odd key"])"#, "x"),
        ("$(args[2].user.name)", "Zoë"),
        ("$(args[2].tags[1])", r#""c\"#),
        ("$(args[2])", r#"{"user":{"name":"Zo\u00eb"},"tags":["a b","\"c\\"]}"#),
        ("$(args[3])", ""),
        ("$(args[4])", "true"),
        ("$(kwargs.big)", "123456789012345678901234567890"),
        ("$(kwargs.pi)", "3.10"),
        ("$(task.id)/$(task.name)/$(task.retries)", "e316e9d9/thumbs.make/2"),
    ] {
        assert_eq!(render(template).unwrap(), argument, "{template}");
    }
}

#[test]
fn a_dollar_is_escaped_as_kubernetes_does_it() {
    for (template, argument) in [
        ("$$(args[0])", "$(args[0])"),
        ("$$$(args[0])", "$cat.jpg"),
        ("$HOME", "$HOME"),
        ("cost: 5$", "cost: 5$"),
        ("$$", "$"),
    ] {
        assert_eq!(render(template).unwrap(), argument, "{template}");
    }
}

#[test]
fn an_argument_is_never_split_or_read_again() {
    let scope = Scope { args: br#"["a b; rm -rf / $(task.id)"]"#, ..SCOPE };
    let template = Template::parse("$(args[0])").unwrap();
    assert_eq!(template.render(&scope).unwrap(), "a b; rm -rf / $(task.id)");
}

#[test]
fn a_refused_template_says_where_and_what_to_write() {
    for (template, text) in [
        (
            "ab $(size)",
            "column 6: write args[0], kwargs.name, task.id, task.name or task.retries; a literal $( is written $$(",
        ),
        ("$(args.size)", "column 7: args is a list: write args[0]"),
        ("$(kwargs[0])", "column 9: kwargs has names: write kwargs.name"),
        ("$(args[-1])", "column 8: write a number from 0, or a name in double quotes: [0], [\"odd name\"]"),
        ("é$(args[0)", "column 10: close it with ]"),
        ("$(args[0]", "column 10: close it with ), or go deeper with .name, [0] or [\"odd name\"]"),
        ("$(kwargs.)", "column 10: write a name, or [\"any text\"] for one with odd characters"),
        ("$(kwargs[\"a)", "column 10: write the name as a JSON string: [\"odd name\"]"),
        ("$(task.queue)", "column 7: write task.id, task.name or task.retries"),
        ("$(task.id.x)", "column 10: close it with )"),
        ("a\0", "column 2: a command's argument cannot hold a NUL character"),
    ] {
        assert_eq!(refusal(template), text, "{template}");
    }
}

#[test]
fn a_missing_argument_says_what_the_message_has() {
    for (template, text) in [
        ("$(args[5])", "missing argument for $(args[5]): args has 5 items"),
        ("-s$(kwargs.sise)", "missing argument for $(kwargs.sise): kwargs has big, odd key, pi, size"),
        ("$(args[2].user.age)", "missing argument for $(args[2].user.age): args[2].user has name"),
        ("$(args[0].user)", "missing argument for $(args[0].user): args[0] is a string"),
        ("$(args[1][0])", "missing argument for $(args[1][0]): args[1] is a number"),
    ] {
        assert_eq!(render(template).unwrap_err().to_string(), text, "{template}");
    }
    let empty = Scope { args: b"[]", kwargs: b"{}", ..SCOPE };
    for (template, text) in [
        ("$(args[0])", "missing argument for $(args[0]): args is empty"),
        ("$(kwargs.a)", "missing argument for $(kwargs.a): kwargs is empty"),
    ] {
        assert_eq!(Template::parse(template).unwrap().render(&empty).unwrap_err().to_string(), text);
    }
}

#[test]
fn the_last_of_two_members_with_one_name_counts() {
    let scope = Scope { kwargs: br#"{"a": 1, "\u0061": 2}"#, ..SCOPE };
    assert_eq!(Template::parse("$(kwargs.a)").unwrap().render(&scope).unwrap(), "2");
}

#[test]
fn what_linux_cannot_take_as_an_argument_is_refused() {
    let fits = format!(r#"["{}"]"#, "a".repeat(MAX_ARGUMENT - 1));
    let scope = Scope { args: fits.as_bytes(), ..SCOPE };
    assert_eq!(Template::parse("=$(args[0])").unwrap().render(&scope).unwrap().len(), MAX_ARGUMENT);
    assert!(matches!(
        Template::parse("==$(args[0])").unwrap().render(&scope),
        Err(RenderError::TooLong { length }) if length == MAX_ARGUMENT + 1
    ));

    let scope = Scope { args: br#"["a\u0000b", "\ud800", NaN]"#, ..SCOPE };
    let one = |text: &str| Template::parse(text).unwrap().render(&scope).unwrap_err();
    assert!(matches!(one("$(args[0])"), RenderError::Json { .. }));
    let scope = Scope { args: br#"["a\u0000b", "\ud800"]"#, ..SCOPE };
    let one = |text: &str| Template::parse(text).unwrap().render(&scope).unwrap_err();
    assert!(matches!(one("$(args[0])"), RenderError::Nul { .. }));
    assert!(matches!(one("$(args[1])"), RenderError::NotText { .. }));
}

#[test]
fn only_a_template_without_places_is_literal() {
    assert_eq!(Template::parse("/bin/$$x").unwrap().literal().as_deref(), Some("/bin/$x"));
    assert_eq!(Template::parse("").unwrap().literal().as_deref(), Some(""));
    assert_eq!(Template::parse("/bin/$(args[0])").unwrap().literal(), None);
}
