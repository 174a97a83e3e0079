/** Shells that completions are made for. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/**
 * What a shell is to read. Each asks `optistore complete`, which knows commands, options, their values, and the daemon's keys: so the
 * script stays right when the command changes.
 */
export const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# Completion of optistore for bash: source <(optistore completion bash)
_optistore() {
  local IFS=$' \\t\\n' line current candidate
  local -a words
  line=\${COMP_LINE:0:COMP_POINT}
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  current=\${words[\${#words[@]} - 1]}
  COMPREPLY=()
  while IFS=$'\\t' read -r candidate _; do
    if [[ $candidate == ':files' ]]; then
      compopt -o filenames 2> /dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
    fi
    # Bash takes a word to begin behind the last colon or equals sign.
    case $current in *[:=]*) candidate=\${candidate#"\${current%[:=]*}"?} ;; esac
    COMPREPLY+=("$(printf '%q' "$candidate")")
  done < <("\${words[0]}" complete -- "\${words[@]:1}" 2> /dev/null)
}
complete -F _optistore optistore
`,
  zsh: `#compdef optistore
# Completion of optistore for zsh: source <(optistore completion zsh), or this as _optistore in a folder of fpath
_optistore() {
  local line
  local -a lines candidates
  lines=("\${(@f)$("\${words[1]}" complete -- "\${(@Q)words[2,CURRENT]}" 2> /dev/null)}")
  if [[ $lines[1] == ':files' ]]; then
    _files
    return
  fi
  for line in $lines; do
    candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  _describe -V optistore candidates
}
(( \${+functions[compdef]} )) && compdef _optistore optistore
`,
  fish: `# Completion of optistore for fish: optistore completion fish | source
function __optistore_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($words[1] complete -- $words[2..-1] "$current" 2> /dev/null)
    if test "$lines[1]" = ':files'
        __fish_complete_path "$current"
    else
        printf '%s\\n' $lines
    end
end
complete -c optistore -f -a '(__optistore_complete)'
`,
};
