//! docs/query.md, generated: fields, and examples that are run as tests.

use crate::parse::fields_help;
use std::fmt::Write as _;

/// A query and what it finds, in words. The tests run each against a small log.
pub static EXAMPLES: &[(&str, &str)] = &[
    ("actor:alice outcome:denied", "what alice tried and was refused"),
    ("action:iam.role.*", "every act on roles: a star at the end stands for anything"),
    ("action:iam.role.granted OR action:iam.role.revoked", "one or the other"),
    (
        "(actor:alice OR actor:bob) -outcome:success",
        "what did not succeed, of either; - or NOT negates what follows",
    ),
    ("ip:10.0.0.0/8 -ip:10.1.0.0/16", "from one network, but not from that part of it"),
    ("during:2026-03", "in March 2026; also a year, a day, an hour, a minute"),
    ("after:2026-03-02 before:2026-03-04", "from the second on, before the fourth"),
    ("time:2026-03-02..2026-03-03", "the same two days"),
    ("after:7d", "in the last seven days; s, m, h, d and w count back from now"),
    ("received:>=2026", "by when the log received it, which the server attests"),
    ("target:payroll", "done to the thing with this id or name"),
    ("target.type:bucket", "done to a thing of this kind"),
    ("tenant:*", "of any tenant: a star alone asks whether there is a value"),
    ("-tenant:*", "of no tenant"),
    ("AKIA1234", "with this word anywhere in what the sender sent, whatever its case"),
    ("\"change window\"", "with these words one after the other"),
    ("payr*", "with a word that begins so"),
    (
        "data.requestParameters.roleName:admin",
        "by a member of the sender's data; arrays are looked through",
    ),
    ("data.responseStatus.code:>=400", "numbers compare: 5..9, >5, >=5, <5, <=5"),
    ("data.annotations.authorization.k8s.io/decision:forbid", "names of members may hold dots"),
    ("request:req-77", "one request across everything it touched"),
    ("index:5..7", "by index in the log"),
];

/// docs/query.md.
#[must_use]
pub fn reference_markdown() -> String {
    let mut text = String::from(
        "# The query language\n\nGenerated from the parser; every example is run as a test. The same string works in the API (`q=`), the command line (`indelible search`), saved views and the console.\n\nParts that stand beside each other must all hold; `OR` and parentheses group, `-` or `NOT` negates. A part is a word, several words in quotes, or `field:value`. Case does not matter, except in the names of `data.` members. Quotes also let a value hold spaces, colons and stars; inside them `\\\"` is a quote. A query has at most 8,192 bytes and 256 parts. What cannot be read is refused with the column and a suggestion.\n\nAnswers never depend on what is indexed: where the index cannot decide, the records themselves are read. Fields are indexed except `agent`, `code`, `host`, `reason`, `request`, `session`, `source`, `trace` and `data.…`: those are found by their words first and then read, which is fast where the words are rare. A count over common words in such members may take long and is refused after 30 seconds.\n\n## Fields\n\n| field | what it is |\n|---|---|\n",
    );
    // Writing to a string does not fail.
    for (name, help) in fields_help() {
        writeln!(text, "| `{name}` | {} |", help.replace('|', "\\|")).unwrap_or_default();
    }
    text.push_str("\n## Examples\n\n| query | finds |\n|---|---|\n");
    for (query, finds) in EXAMPLES {
        writeln!(text, "| `{query}` | {finds} |").unwrap_or_default();
    }
    text
}
