from __future__ import annotations

import pytest

from commands.sql_statements import is_blank, split_statements


@pytest.mark.parametrize(
    ("text", "statements", "rest"),
    [
        ("", [], ""),
        ("select 1", [], "select 1"),
        ("select 1;", ["select 1"], ""),
        ("select 1; select 2;\n select 3", ["select 1", "select 2"], "\n select 3"),
        (";; ;-- nothing\n;select 1;", ["select 1"], ""),
        ("select ';'; select 2", ["select ';'"], " select 2"),
        ("select 'it''s;' ; x", ["select 'it''s;'"], " x"),
        (r"select 'a\'; x", [r"select 'a\'"], " x"),
        (r"select e'\';'; x", [r"select e'\';'"], " x"),
        (r"select be'\'; x", [r"select be'\'"], " x"),
        ('select ";" ; x', ['select ";"'], " x"),
        ("select 1 -- ;\n; x", ["select 1 -- ;"], " x"),
        ("select 1 - - 1; x", ["select 1 - - 1"], " x"),
        ("select 1 /* ; /* ; */ ; */; x", ["select 1 /* ; /* ; */ ; */"], " x"),
        ("select $$;'$$; x", ["select $$;'$$"], " x"),
        ("select $a$;$$;$a$; x", ["select $a$;$$;$a$"], " x"),
        ("select $1; x", ["select $1"], " x"),
        ("select 'open; x;", [], "select 'open; x;"),
        ("select $$open; x;", [], "select $$open; x;"),
        ("select 1; /* open; x;", ["select 1"], " /* open; x;"),
        ("select 1; -- open; x;", ["select 1"], " -- open; x;"),
    ],
)
def test_a_semicolon_ends_a_statement_where_sql_says_so(text: str, statements: list[str], rest: str) -> None:
    assert split_statements(text) == (statements, rest)


@pytest.mark.parametrize(
    ("text", "blank"),
    [
        ("", True),
        (" \n", True),
        ("-- a", True),
        (" /* a /* b */ */ -- c\n ", True),
        ("/* a", False),
        ("-- a\n1", False),
        ("'a'", False),
        ("1 -- a", False),
        (";", False),
    ],
)
def test_what_holds_nothing_but_comments_is_blank(text: str, blank: bool) -> None:
    assert is_blank(text) is blank
