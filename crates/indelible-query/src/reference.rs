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
    (
        "time:2026-03-02T10:00:00..2026-03-02T12:00:00+01:00",
        "to the second, or to nine digits below; UTC, unless a zone says otherwise",
    ),
    ("received:>=2026", "by when the log received it, which the server attests"),
    ("target:payroll", "done to the thing with this id or name"),
    ("target.type:bucket", "done to a thing of this kind"),
    ("tenant:*", "of any tenant: a star alone asks whether there is a value"),
    ("-tenant:*", "of no tenant"),
    ("AKIA1234", "with this word anywhere in what the sender sent, whatever its case"),
    ("\"change window\"", "with these words one after the other"),
    ("登录失败", "in scripts without spaces, inside a sentence"),
    ("payr*", "with a word that begins so"),
    (
        "data.requestParameters.roleName:admin",
        "by a member of the sender's data; arrays are looked through",
    ),
    ("data.responseStatus.code:>=400", "numbers compare: 5..9, >5, >=5, <5, <=5"),
    (
        "data.metadata.cost:1.5e3",
        "a number however it is written: 1500, 1500.0; exactly, of any length",
    ),
    ("data.metadata.\"aws:SourceVpce\":vpce-0a1b", "names of members may stand in quotes"),
    ("data.annotations.authorization.k8s.io/decision:forbid", "names of members may hold dots"),
    ("request:req-77", "one request across everything it touched"),
    ("index:5..7", "by index in the log"),
];

/// docs/query.md.
#[must_use]
pub fn reference_markdown() -> String {
    let mut text = String::from(
        "# The query language\n\nGenerated from the parser; every example is run as a test. The same string works in the API (`q=`), the command line (`indelible search`), saved views and the console.\n\nParts that stand beside each other must all hold; `OR` and parentheses group, `-` or `NOT` negates. `or`, `and`, `not` may be in any case, and `||`, `&&`, `!` are taken for them; to search for such a word put it in quotes. A part is a word, several words in quotes, or `field:value`. Case does not matter (`ß` is `SS`, `İ` is `i`), except in the names of `data.` members. Quotes, double, single or curly, also let a value hold spaces, colons, stars and `?`; inside them `\\\"` is a quote. A query has at most 8,192 bytes and 256 parts. What cannot be read is refused with the column and a suggestion, and so is a value that a field can never have (`outcome:failed`).\n\nAddresses are compared as addresses: `::ffff:192.0.2.44`, `192.0.2.44:52110` and `192.0.2.44` are one, and `2001:DB8:0::9` is `2001:db8::9`; port and zone do not count. Numbers are compared as decimals, exactly; what is shown is what was sent. Times are UTC unless they say otherwise, down to the nanosecond; a shorter one stands for all of its year, day, minute or tenth of a second. Chinese, Japanese, Thai, Lao, Khmer, Burmese and Korean texts are found by any part of a sentence.\n\nAnswers never depend on what is indexed: where the index cannot decide, the records themselves are read. Fields are indexed except `agent`, `code`, `host`, `reason`, `request`, `session`, `source`, `trace` and `data.…`: those are found by their words first and then read, which is fast where the words are rare. A count over common words in such members may take long and is refused after 30 seconds.\n\n## Fields\n\n| field | what it is |\n|---|---|\n",
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
