"""A YAML text as a tree with its lines, for messages that name the place of a mistake; the only yaml user."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

# Names of aliases, anchors and tags; a single character, or a <kind> of token, tells nothing.
_QUOTED = re.compile(r""" (['"])[^<].+\1""")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


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

    def at(self, path: Sequence[object], missing: bool = False) -> str:
        """Return `file:line: field` of the deepest node on the path; `missing`: its last step names an absent field.

        Other steps that the tree does not have are the names of a union's branches and left out.
        """
        node, line, fields = self.root, 1, list[str]()
        for step in path:
            found = _child(node, step)
            if found is not None:
                node, line = found
                fields.append(str(step))
        if missing:
            fields.append(str(path[-1]))
        return f"{self.name}:{line}: {'.'.join(fields) or 'the file'}"

    def values(self, environ: Mapping[str, str]) -> object:
        """Return the tree as plain values, ${NAME} replaced from the environment."""
        if self.root is None:
            raise ConfigError(f"{self.name}:1: the file is empty; expected at least one section such as upstreams")
        self._check_nodes(self.root, environ, set())
        try:
            plain = yaml.SafeLoader("").construct_document(self.root)
        except yaml.MarkedYAMLError as error:
            raise _unreadable(self.name, error) from None
        except ValueError:
            raise ConfigError(f"{self.name}: a date or a number that can't be one; in quotes it is text") from None
        return _expand(plain, environ)

    def _check_nodes(self, node: yaml.Node, environ: Mapping[str, str], above: set[int]) -> None:
        line = node.start_mark.line + 1
        if id(node) in above:
            raise ConfigError(f"{self.name}:{line}: an alias refers to itself")
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            for (key, child), count in zip(node.value, map(keys.count, keys), strict=True):
                if count > 1:
                    raise ConfigError(f"{self.name}:{key.start_mark.line + 1}: {key.value}: stands here twice")
                self._check_nodes(child, environ, above | {id(node)})
        elif isinstance(node, yaml.SequenceNode):
            for child in node.value:
                self._check_nodes(child, environ, above | {id(node)})
        else:
            for variable in _VARIABLE.findall(node.value):
                if variable not in environ:
                    raise ConfigError(f"{self.name}:{line}: ${{{variable}}} is not set in the environment")


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
        return _VARIABLE.sub(lambda match: environ[match[1]], value)
    if isinstance(value, list):
        return [_expand(item, environ) for item in value]
    if isinstance(value, dict):
        return {key: _expand(item, environ) for key, item in value.items()}
    return value
