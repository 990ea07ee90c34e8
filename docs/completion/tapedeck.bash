# bash completion for tapedeck
_tapedeck() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=
	case $prev in
	--output | -o) words="table wide json ndjson csv" ;;
	--format) words="pcapng pcap" ;;
	--raw) words="request response" ;;
	--color) words="auto always never" ;;
	--progress) words="auto plain json none" ;;
	--log-level) words="error warn info debug" ;;
	--data | -d) COMPREPLY=($(compgen -d -- "$cur")); return ;;
	--config | --token-file | --capture | -c) COMPREPLY=($(compgen -f -- "$cur")); return ;;
	esac
	if [ -n "$words" ]; then :
	elif [ "$COMP_CWORD" = 1 ]; then
		words="run record serve import query top show export replay retention recompress horizon stats check snapshot config completion docs version help"
	else
		case ${COMP_WORDS[1]} in
		run) words="--config --log-level --color --data --token-file --listen --workers --query-threads --query-time --query-rows --query-memory --cors --user --capture --snaplen --second-view --ring-bytes --exclude-pid --node --flows-max --active-timeout --first-report --idle-timeout --udp-timeout --stream-bytes --load-bytes --protocols --zstd-level --progress --help" ;;
		record) words="--config --log-level --color --data --user --snaplen --second-view --ring-bytes --duration --exclude-pid --node --flows-max --active-timeout --first-report --idle-timeout --udp-timeout --stream-bytes --protocols --zstd-level --help" ;;
		serve) words="--config --log-level --color --data --token-file --listen --workers --query-threads --query-time --query-rows --query-memory --cors --user --help" ;;
		import) words="--config --log-level --color --data --user --node --flows-max --active-timeout --idle-timeout --udp-timeout --stream-bytes --load-bytes --protocols --zstd-level --progress --help" ;;
		query) words="flows calls packets events entities rollups --config --log-level --color --data --server --token-file --filter --from --to --at --fields --limit --cursor --ascending --within --output --explain --no-headers --fail-empty --strict --query-time --query-rows --query-memory --help" ;;
		top) words="flows calls events rollups --config --log-level --color --data --server --token-file --filter --from --to --within --by --agg --step --order --output --explain --no-headers --fail-empty --strict --query-threads --query-time --query-rows --query-memory --help" ;;
		show) words="flow call --config --log-level --color --data --server --token-file --raw --help" ;;
		export) words="--config --log-level --color --data --server --token-file --filter --from --to --output --fail-empty --strict --format --bpf --query-threads --query-time --query-rows --query-memory --help" ;;
		replay) words="--config --log-level --color --data --server --token-file --filter --from --to --output --speed --help" ;;
		retention) words="show plan apply set unset pin unpin --config --log-level --color --data --from --to --output --data-age --packet-age --data-bytes --packet-bytes --total-bytes --free-bytes --horizon-first --cold-age --cold-level --age --bytes --min-age --yes --dry-run --help" ;;
		recompress) words="--config --log-level --color --data --output --older --level --dry-run --help" ;;
		horizon) words="--config --log-level --color --data --server --token-file --from --to --output --help" ;;
		stats) words="--config --log-level --color --data --server --token-file --output --columns --help" ;;
		check) words="--config --log-level --color --data --output --repair --help" ;;
		snapshot) words="--config --log-level --color --data --help" ;;
		config) words="--config --log-level --color --data --help" ;;
		completion) words="bash zsh fish --config --log-level --color --data --help" ;;
		docs) words="--config --log-level --color --data --help" ;;
		version) words="--config --log-level --color --data --output --help" ;;
		help) words="--config --log-level --color --data --help" ;;
		esac
	fi
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
	[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$cur"))
}
complete -F _tapedeck tapedeck
