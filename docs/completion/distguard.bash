# Completion of distguard's commands, options and arguments for bash. The words come from its own help.

_distguard_units() {
    local dir
    for dir in /etc/systemd/system /run/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
        compgen -G "$dir/*.service"
    done | sed 's|.*/||' | sort -u
}

_distguard() {
    local cur prev command
    cur=${COMP_WORDS[COMP_CWORD]}
    prev=${COMP_WORDS[COMP_CWORD-1]}
    command=${COMP_WORDS[1]}
    COMPREPLY=()

    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(distguard help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' | sort -u) --help --version" -- "$cur")
        return
    fi
    case $prev in
        --conf | --root)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return
            ;;
        --role)
            mapfile -t COMPREPLY < <(compgen -W 'distribution epmd other' -- "$cur")
            return
            ;;
        --profile)
            mapfile -t COMPREPLY < <(compgen -W "$(distguard check 2>/dev/null | sed -n 's/^profiles=//p' | tr , ' ')" -- "$cur")
            return
            ;;
    esac
    if [ "$prev" = pki ] && [[ "$command" = @(pki|help) ]]; then
        mapfile -t COMPREPLY < <(compgen -W 'init issue' -- "$cur")
        return
    fi
    case $cur in
        -*)
            [ "$command" != pki ] || command="pki ${COMP_WORDS[2]}"
            # shellcheck disable=SC2086
            mapfile -t COMPREPLY < <(compgen -W "$(distguard help $command 2>/dev/null | grep -o -- '--[a-z-]*' | sort -u) --help" -- "$cur")
            return
            ;;
    esac
    case $command in
        enable | disable)
            mapfile -t COMPREPLY < <(compgen -W "$(_distguard_units)" -- "$cur")
            ;;
        explain)
            mapfile -t COMPREPLY < <(compgen -W 'bind connect accept' -- "$cur")
            ;;
        help)
            mapfile -t COMPREPLY < <(compgen -W "$(distguard help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' | sort -u)" -- "$cur")
            ;;
        scan)
            mapfile -t COMPREPLY < <(compgen -A hostname -- "$cur")
            ;;
        *)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            ;;
    esac
}

complete -F _distguard distguard
