from pathlib import Path

import pytest

from tests.walk.documents import Block, blocks, commands, section

TEXT = """# A title

## First

    make install            # with a word on it
    .venv/bin/context-gateway serve

    x-gateway-reason: relevance

```sh
cat > f <<'EOF'
a: "(
EOF
for i in 1 2; do
  echo $i |
    cat
done
```

```python
if True:

    make = 1
```

    OPENAI_API_KEY=sk-... .venv/bin/python hello.py

## Second

    make demo
"""


def test_what_is_typed_is_told_from_what_comes_out(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text(TEXT)
    first, shell, program, last = blocks(section(file, "First"))
    assert first == Block("sh", "make install            # with a word on it\n.venv/bin/context-gateway serve\n")
    assert (shell.kind, program) == ("sh", Block("python", "if True:\n\n    make = 1\n"))
    assert last == Block("sh", "OPENAI_API_KEY=sk-... .venv/bin/python hello.py\n")
    assert blocks(section(file, "Second")) == [Block("sh", "make demo\n")]
    with pytest.raises(ValueError, match="no heading 'Third'"):
        section(file, "Third")


def test_a_command_goes_on_as_long_as_a_shell_would_ask_for_more() -> None:
    _, shell, _, _ = blocks(TEXT.partition("## Second")[0])
    heredoc, loop = commands(shell.code)
    assert heredoc == "cat > f <<'EOF'\na: \"(\nEOF"
    assert loop == "for i in 1 2; do\n  echo $i |\n    cat\ndone"
    assert list(commands("a \\\n  b\n\nc\n")) == ["a \\\n  b", "c"]
    with pytest.raises(ValueError, match="no whole command"):
        list(commands("for i in 1; do\n"))
