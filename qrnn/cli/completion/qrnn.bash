# Completion of the qrnn command for bash and, through bashcompinit, zsh. The functions
# _qrnn_words and _qrnn_values above return its commands, keys and values.
_qrnn() {
  local line word command rest start one IFS=$' \t\n'
  line=${COMP_LINE:0:$COMP_POINT}
  word=${line##*[[:space:]]}
  line=${line#*[[:space:]]}
  command=${line%%[[:space:]]*}
  IFS=$'\n'
  COMPREPLY=()
  if [ "$line" = "$word" ]; then
    command=commands
  fi
  if [ "${word#*=}" = "$word" ]; then
    for one in $(compgen -W "$(_qrnn_words "$command" "$word")" -- "$word"); do
      case $one in *= | *.) COMPREPLY+=("$one") ;; *) COMPREPLY+=("$one ") ;; esac
    done
  else
    start=${word%%=*}=
    rest=${word#*=}
    if _qrnn_values "${start%=}" > /dev/null; then
      for one in $(compgen -W "$(_qrnn_values "${start%=}")" -- "$rest"); do
        COMPREPLY+=("$one ")
      done
    else
      for one in "$rest"*; do # a file
        if [ -d "$one" ]; then COMPREPLY+=("$one/"); elif [ -e "$one" ]; then COMPREPLY+=("$one "); fi
      done
    fi
    # bash treats the part before = as a separate word; zsh does not.
    if [ ${#COMPREPLY[@]} -gt 0 ] &&
      { [ -n "${ZSH_VERSION-}" ] || [ "${COMP_WORDBREAKS#*=}" = "$COMP_WORDBREAKS" ]; }; then
      COMPREPLY=("${COMPREPLY[@]/#/$start}")
    fi
  fi
}
complete -o nospace -F _qrnn qrnn
