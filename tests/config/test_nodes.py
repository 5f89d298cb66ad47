import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from responder.config.errors import ConfigError
from responder.config.nodes import Document, decode, read


def document(text: str) -> Document:
    found, errors = read(text, "f.yml")
    assert found is not None, errors
    return found


def error(text: str) -> str:
    _, errors = read(text, "f.yml")
    return str(errors[0])


def test_scalars_are_the_text_that_was_written():
    data = document("{a: no, b: 1.10, c: 02:00, d: 'null', e: null, f: ~, g: , h: 0x10, on: off, i: 2026-01-01}").data
    assert data == {
        "a": "no", "b": "1.10", "c": "02:00", "d": "null", "e": None, "f": None, "g": None, "h": "0x10", "on": "off",
        "i": "2026-01-01",
    }  # fmt: skip


def test_every_value_and_every_key_has_its_place():
    doc = document("rules:\n  - id: a\n    by: [x, y]\n  - {id: b}\n")
    assert str(doc.mark(("rules", 0, "by", 1))) == "f.yml:3:13"
    assert str(doc.mark(("rules", 0, "by"), key=True)) == "f.yml:3:5"
    assert str(doc.mark(("rules", 1, "id"))) == "f.yml:4:10"


def test_a_path_that_leads_nowhere_gives_the_place_it_is_missing_from():
    assert str(document("a: {b: c}").mark(("a", "~mapping", "nothing"))) == "f.yml:1:4"


def test_comments_alone_are_an_empty_configuration():
    assert document("# nothing\n").data == {} == document("").data == document("~").data


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n\tb: c", "f.yml:2:1: a tab in the indentation\n  hint: indent with spaces"),
        ("a: b\nc: d\na: e", 'f.yml:3:1: "a" is defined twice\n  hint: it stands at f.yml:1:1 already'),
        (
            "a: b\n---\nc: d",
            "f.yml:2:1: a second document in one file\n  hint: write one file per document, and include them",
        ),
        ("a: *b", "f.yml:1:4: an alias of an anchor that is not there\n  hint: quote a text that begins with *"),
        ("a: &b [*b]", "f.yml:1:4: nested too deeply"),
        ("a: &b c\nd: &b e", "f.yml:2:4: the anchor is defined twice"),
        (
            "a: !!python/object:os.system x",
            "f.yml:1:4: the tag !!python/object:os.system is not known here\n  hint: leave it out",
        ),
        ("a: 'b", "f.yml:1:4: the quoted text that begins here does not end"),
        ("a:\n\xa0b: c", "f.yml:2:1: a no-break space in the indentation\n  hint: indent with spaces"),
        ("a: b\0", "f.yml:1:5: U+0000 can't stand in YAML"),
        ("a: \ud800", "f.yml:1:4: U+D800 can't stand in YAML"),
        ("? [a]\n: b", "f.yml:1:3: a key is text"),
        ("~: b", "f.yml:1:1: a key is text"),
        (
            "<<: {a: b}",
            'f.yml:1:1: merge keys ("<<") are not known here\n  hint: write the keys out, or alias a whole value',
        ),
        ("- a", "f.yml:1:1: a configuration is a mapping of keys such as rules: and services:"),
    ],
)
def test_what_is_no_configuration_is_told_with_its_place(text: str, said: str):
    assert error(text) == said


@pytest.mark.parametrize(
    ("text", "at", "said", "hint"),
    [
        ("a: b\nc: [d\n", "3:1", "the [ of 2:4 does not end as it should", "quote"),
        ("r:\n  a: {t: up: down}", "2:12", "the { of 2:6 does not end as it should", "quote a text that holds :"),
        ("r: {t: a # 5}\ns: x", "2:1", "the { of 1:4 does not end as it should", "quote a text that holds : #"),
        ('r: {t: "a "b""}', "1:12", "the { of 1:4 does not end as it should", "quote"),
        ("r: *", "1:4", "* and & begin the name of an anchor", "quote"),
        ("r: @all", "1:4", "a character that can't begin a value", "quote"),
        ("a:\n  b: c\n  every:30s\n  d: e", "3:3", "a key without a colon and a blank after it", "KEY: VALUE"),
        ("a:\n  b: c\n    d: e", "3:6", "a colon where no key can stand", "indent the keys of one mapping alike"),
        ("t: up: down", "1:6", "a colon where no key can stand", "quote a text that holds a colon"),
        ("r:\n  - a: b\n   c: d", "3:4", "neither to the list that begins at 2:3 nor", "indent the items"),
        ("a:\n  b: c\n d: e", "3:2", "neither to the mapping that begins at 1:1 nor", "indent the keys"),
        ("{t:, p: x}", "1:3", "a colon without a blank after it", "KEY: VALUE"),
    ],
)
def test_broken_yaml_is_shown_where_it_began_with_the_way_out(text: str, at: str, said: str, hint: str):
    place, _, way_out = error(text).partition("\n  hint: ")
    assert place.startswith(f"f.yml:{at}: ")
    assert said in place
    assert hint in way_out


def test_a_template_without_quotes_is_told_once_and_read_as_it_was_meant():
    found, errors = read("i: {title: {{ key.instance }}, impact: high}\nt: {{ a }}", "f.yml")
    assert found is not None
    assert found.data == {"i": {"title": "{{ key.instance }}", "impact": "high"}, "t": "{{ a }}"}
    assert [str(each) for each in errors] == [
        'f.yml:1:12: a template without quotes\n  hint: write "{{ ... }}"',
        'f.yml:2:4: a template without quotes\n  hint: write "{{ ... }}"',
    ]


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 100_000, "[" * 70 + "]" * 70])
def test_deep_nesting_is_refused_before_it_can_hurt(text: str):
    assert error(text).endswith("nested too deeply")


def test_aliases_that_explode_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "aliases expand to too many values" in error("\n".join(lines))


def test_a_key_that_stands_twice_does_not_hide_other_mistakes():
    found, errors = read("a: 1\na: 2\nb: !x y\nc: 3", "f.yml")
    assert found is not None
    assert found.data == {"a": "1", "b": None, "c": "3"}
    assert [str(error.mark) for error in errors] == ["f.yml:2:1", "f.yml:3:4"]


def test_an_alias_of_a_whole_value_is_that_value():
    assert document("a: &x {b: c}\nd: *x").data["d"] == {"b": "c"}


def test_bytes_that_are_not_utf8_are_told_with_their_place():
    with pytest.raises(ConfigError, match=r"^f\.yml:2:4: byte 0xff is not UTF-8"):
        decode(b"a: b\nc: \xff", "f.yml")
    assert decode(b"\xef\xbb\xbfa: b", "f.yml") == "a: b"


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-?[]{},&*!|>'\"%@`#~<\n\t \0é") | st.characters()))
def test_any_text_gives_a_document_or_errors_with_places(text: str):
    found, errors = read(text, "f.yml")
    assert found is not None or errors
    assert all(error.mark.line >= 1 and error.mark.column >= 1 for error in errors)


@pytest.mark.parametrize(
    "written",
    [
        "a: sum(up) by (job)",
        "a: 'sum(up) by (job)'",
        'a: "sum(up) by (job)"',
        "# é\na: |\n  sum(up)\n    by (job)\n",
        "a: >-  # folded\n    sum(up)\n    by (job)\n",
        "a: sum(up)\n   by (job)",
        "a: {b: 1, é: 2}\nc: sum(up) by (job)",
    ],
)
def test_a_place_inside_a_text_is_where_it_stands_in_the_file(written: str):
    document, _ = read(written, "f")
    assert document is not None
    key = "c" if "c" in document.data else "a"
    text, lines = document.data[key], written.splitlines()
    for offset, char in enumerate(text):
        mark = document.inside((key,), offset)
        if not char.isspace():
            assert lines[mark.line - 1][mark.column - 1] == char


@pytest.mark.parametrize("written", ["a: 'it''s x'", 'a: "\\x41 x"', "a: [x]", "b: x"])
def test_what_is_written_otherwise_is_shown_by_its_beginning(written: str):
    document, _ = read(written, "f")
    assert document is not None
    assert document.inside(("a",), 6) == document.mark(("a",))
