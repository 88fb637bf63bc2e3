complete -c merlon -f
set -l commands status up down rekey reload stop metrics monitor trace check-config keygen pki pair
for entry in 'status:Connections, SAs, traffic, last errors' 'up:Bring a connection up' 'down:Take a connection down' 'rekey:Negotiate new keys' \
    'reload:Read the configuration again' 'stop:Stop merlond' 'metrics:What Prometheus would be shown' 'monitor:Events as they happen' \
    'trace:Exchanges message by message' 'check-config:Check a configuration file' 'keygen:Make a private key' 'pki:A small certificate authority' 'pair:Join two machines'
    set -l parts (string split -m 1 : $entry)
    complete -c merlon -n "not __fish_seen_subcommand_from $commands" -a $parts[1] -d $parts[2]
end
complete -c merlon -n '__fish_seen_subcommand_from pki' -a 'init issue request sign revoke crl list'
complete -c merlon -n '__fish_seen_subcommand_from keygen check-config' -F
