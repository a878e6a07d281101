"""How each shell asks for completions: click's scripts, mended where a value may hold a comma or an equals sign.

bash breaks words at `=` and `:`, so it is given back only what stands behind the last of them; `site=ber` completes as it does
in zsh and fish.
"""

from __future__ import annotations

import os

from click.shell_completion import (
    BashComplete,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

VARIABLE = "_LONGARM_COMPLETE"


class Bash(BashComplete):
    """bash 4.4 and later; it gives the line as typed, since its own words are torn at `=`."""

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' line="${COMP_LINE:0:COMP_POINT}" kind value word torn=
    word="${line##*[[:space:]]}"
    [[ $COMP_WORDBREAKS == *=* && $word == *[=:]* ]] && torn="${word%%"${word##*[=:]}"}"
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("${value#"$torn"}"); [[ $value == *= ]] && compopt -o nospace ;;
        esac
    done < <(COMP_LINE="$line" %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the cursor, and the one that is begun."""
        if (line := os.environ.get("COMP_LINE")) is None:  # click's own script asks, from a start-up file of another version
            return super().get_completion_args()
        words = split_arg_string(line)[1:]
        return (words, "") if line[-1:].isspace() or not words else (words[:-1], words[-1])


class Fish(FishComplete):
    """fish 3; a value may hold commas."""

    source_template = """\
function %(complete_func)s
    set -lx COMP_WORDS (commandline -cp)
    set -lx COMP_CWORD (commandline -t)
    for completion in (env %(complete_var)s=fish_complete %(prog_name)s)
        set -l parts (string split -m 1 "," -- $completion)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                echo $parts[2]
        end
    end
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": ZshComplete, "fish": Fish}


def register() -> None:
    """Make click speak with the shells as we do."""
    for name in ("bash", "fish"):
        add_completion_class(SHELLS[name], name)
