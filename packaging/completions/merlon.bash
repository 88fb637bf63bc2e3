# bash completion for merlon
_merlon() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command= word
  local commands="status up down rekey reload stop metrics monitor trace check-config keygen pki pair"
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) ;; *) command=$word; break;; esac
  done
  case $previous in
    -c|--config|--key|--out|--request|--certificate|--ca|--socket|--keys) COMPREPLY=($(compgen -f -- "$current")); return;;
    --type) COMPREPLY=($(compgen -W "ed25519 ed448 ecdsa-p256 ecdsa-p384 ecdsa-p521 rsa-2048 rsa-3072 rsa-4096" -- "$current")); return;;
    --role) COMPREPLY=($(compgen -W "gateway server client" -- "$current")); return;;
  esac
  case $command in
    '') COMPREPLY=($(compgen -W "$commands --config --socket --version --help" -- "$current"));;
    status|up|down|rekey|monitor|trace)
      local names
      names=$(merlon status --json 2>/dev/null | sed -n 's/^      "name": "\([^"(]*\)",*$/\1/p')
      COMPREPLY=($(compgen -W "$names --json --help" -- "$current"));;
    pki) COMPREPLY=($(compgen -W "init issue request sign revoke crl list --ca --dn --san --days --type --role --key --out --request --serial --certificate --reason" -- "$current"));;
    pair) COMPREPLY=($(compgen -W "--id --address --network --peer" -- "$current"));;
    check-config|keygen) COMPREPLY=($(compgen -f -W "--type --show --keys" -- "$current"));;
  esac
}
complete -F _merlon merlon
