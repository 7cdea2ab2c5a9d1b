//! Document templates of embedders. A template may loop over all fields (the default one does), and would then embed
//! the shard tag. Nodes get such a loop with the tag left out; clients see what they set.

use miroir_core::tag::TAG_FIELD;

/// The engine's default template.
pub(crate) const DEFAULT: &str = "{% for field in fields %}{% if field.is_searchable and field.value != nil %}{{ field.name }}: {{ field.value }}\n{% endif %}{% endfor %}";

/// The template with every `for … in fields` skipping the tag. A template without such a loop is returned as it is.
/// `forloop.length` and `forloop.last` still count the tag.
pub(crate) fn without_tag(template: &str) -> String {
    let mut rewritten = String::with_capacity(template.len() + 64);
    // For each open `for`: whether its body is wrapped and still open.
    let mut loops: Vec<bool> = Vec::new();
    let mut verbatim: Option<&str> = None;
    let mut rest = template;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let (before, tag) = (&rest[..start], &rest[start..start + length + 2]);
        let words = tag[2..tag.len() - 2].trim_matches('-').split_whitespace().collect::<Vec<_>>();
        rewritten.push_str(before);
        rest = &rest[start + length + 2..];
        match (words.as_slice(), verbatim) {
            ([word, ..], Some(end)) if *word == end => verbatim = None,
            (_, Some(_)) => {}
            (["raw", ..], None) => verbatim = Some("endraw"),
            (["comment", ..], None) => verbatim = Some("endcomment"),
            (["for", name, "in", "fields", ..], None) => {
                loops.push(true);
                rewritten.push_str(tag);
                rewritten.push_str(&format!("{{% unless {name}.name == \"{TAG_FIELD}\" %}}"));
                continue;
            }
            (["for", ..], None) => loops.push(false),
            (["endfor", ..], None) => {
                let wrapped = loops.pop() == Some(true);
                rewritten.push_str(if wrapped { "{% endunless %}" } else { "" });
            }
            _ => {}
        }
        rewritten.push_str(tag);
    }
    rewritten.push_str(rest);
    rewritten
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_over_fields_skip_the_tag() {
        assert_eq!(
            without_tag("a {% for f in fields %}{{ f.name }}{% endfor %} b"),
            "a {% for f in fields %}{% unless f.name == \"_miroir_shard\" %}{{ f.name }}{% endunless %}{% endfor %} b"
        );
        assert_eq!(
            without_tag("{%- for x in fields -%}{% for y in x %}.{% endfor %}{%- endfor -%}"),
            "{%- for x in fields -%}{% unless x.name == \"_miroir_shard\" %}{% for y in x %}.{% endfor %}{% endunless %}{%- endfor -%}"
        );
    }

    #[test]
    fn other_templates_stay() {
        for template in [
            "",
            "{{ doc.title }}",
            "{% for tag in doc.tags %}{{ tag }}{% endfor %}",
            "{% raw %}{% for f in fields %}{% endfor %}{% endraw %}",
            "{% for f in fields",
        ] {
            assert_eq!(without_tag(template), template);
        }
    }
}
