"""A YAML text as a tree with its lines, for messages that name the place of a mistake; the only yaml user."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

# Names of aliases, anchors and tags; a single character, or a <kind> of token, tells nothing.
_QUOTED = re.compile(r""" (['"])[^<].+\1""")
# ${NAME}, ${NAME:-default}, $${ for ${ itself; a ${ that is none of these is a mistake.
_VARIABLE = re.compile(r"\$(?:(\$)\{|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}|\{)")
_MERGE = "tag:yaml.org,2002:merge"  # of the key <<, which is no value
# What yaml's constructors raise of a value that is not what its tag, or its look, says.
_NOT_ONE = (ValueError, LookupError, AttributeError, OverflowError)


class ConfigError(Exception):
    """The configuration can't be used; the message names file, line, field and what is expected."""


@dataclass(frozen=True, slots=True)
class YamlSource:
    """The YAML tree with its lines."""

    name: str
    root: yaml.Node | None

    @classmethod
    def of(cls, text: str, name: str) -> "YamlSource":
        """Read the text; raise ConfigError where it is not YAML."""
        try:
            return cls(name, yaml.compose(text, Loader=yaml.SafeLoader))
        except yaml.MarkedYAMLError as error:
            raise _unreadable(name, error) from None
        except yaml.YAMLError:
            raise ConfigError(f"{name}: not valid YAML: a character that YAML does not allow") from None
        except RecursionError:
            raise ConfigError(f"{name}: nested too deep") from None

    def at(self, path: Sequence[object], missing: bool = False) -> str:
        """Return `file:line: field` of the deepest node on the path; `missing`: its last step names an absent field.

        Other steps that the tree does not have are the names of a union's branches and left out.
        """
        node, line, fields = self.root, 1, list[str]()
        for step in path:
            found = _child(node, step)
            if found is not None:
                node, line = found
                fields.append(_shown(step))
        if missing:
            fields.append(_shown(path[-1]))
        return f"{self.name}:{line}: {'.'.join(fields) or 'the file'}"

    def values(self, environ: Mapping[str, str]) -> object:
        """Return the tree as plain values, ${NAME} replaced from the environment."""
        if self.root is None:
            raise ConfigError(f"{self.name}:1: the file is empty; expected at least one section such as upstreams")
        loader = yaml.SafeLoader("")
        try:
            self._check_nodes(self.root, environ, loader, set())
            plain = loader.construct_document(self.root)
        except yaml.MarkedYAMLError as error:
            raise _unreadable(self.name, error) from None
        return _expand(plain, environ)

    def _check_nodes(
        self, node: yaml.Node, environ: Mapping[str, str], loader: yaml.SafeLoader, above: set[int]
    ) -> None:
        if id(node) in above:
            raise self._mistake(node, "an alias refers to itself")
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            for (key, child), count in zip(node.value, map(keys.count, keys), strict=True):
                if count > 1:
                    raise self._mistake(key, f"{_shown(key.value)}: stands here twice")
                if isinstance(key, yaml.ScalarNode) and "${" in key.value:
                    raise self._mistake(key, "a name is taken as it stands; ${...} can only be in a value")
                self._check_nodes(key, environ, loader, above | {id(node)})
                self._check_nodes(child, environ, loader, above | {id(node)})
        elif isinstance(node, yaml.SequenceNode):
            for child in node.value:
                self._check_nodes(child, environ, loader, above | {id(node)})
        else:
            self._check_scalar(node, environ, loader)

    def _check_scalar(self, node: yaml.Node, environ: Mapping[str, str], loader: yaml.SafeLoader) -> None:
        if node.tag == _MERGE:
            return
        try:
            loader.construct_document(node)
        except _NOT_ONE:
            kind = node.tag.rpartition(":")[2]
            raise self._mistake(
                node, f"this can't be of type {kind}; in quotes, and without a tag, it is text"
            ) from None
        for _, variable, default in (found.groups() for found in _VARIABLE.finditer(node.value) if not found[1]):
            if variable is None:
                raise self._mistake(node, "expected ${NAME} or ${NAME:-default}; $${ stands for ${ itself")
            if variable not in environ and default is None:
                raise self._mistake(node, f"${{{variable}}} is not set in the environment")
        if not _is_text(_expanded(node.value, environ)):
            raise self._mistake(node, "it holds half of a character (a surrogate), which is no text")

    def _mistake(self, node: yaml.Node, said: str) -> ConfigError:
        return ConfigError(f"{self.name}:{node.start_mark.line + 1}: {said}")


def _unreadable(name: str, error: yaml.MarkedYAMLError) -> ConfigError:
    """Say where the text is not YAML; what a message quotes of it may be a secret that YAML reads as syntax."""
    line = error.problem_mark.line + 1 if error.problem_mark else 1
    said, hidden = _QUOTED.subn("", error.problem or error.context or "")
    advice = "; a value that begins with *, & or ! is to be put in quotes" if hidden else ""
    return ConfigError(f"{name}:{line}: not valid YAML: {said}{advice}")


def _child(node: yaml.Node | None, step: object) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step].start_mark.line + 1
    return None


def _expand(value: object, environ: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return _expanded(value, environ)
    if isinstance(value, list):
        return [_expand(item, environ) for item in value]
    if isinstance(value, dict):
        return {key: _expand(item, environ) for key, item in value.items()}
    return value


def _expanded(text: str, environ: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: "${" if found[1] else environ.get(found[2]) or found[3] or "", text)


def _shown(step: object) -> str:
    """Return a field's name, in one line whatever it holds."""
    return str(step) if str(step).isprintable() else ascii(step)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
