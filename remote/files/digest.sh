# digest: prints the SHA-256 of stdin and the program that made it; 70 where the host has none.
digest() {
	for tool in sha256sum 'shasum -a 256' 'sha256 -q' 'openssl dgst -sha256 -r' 'busybox sha256sum'; do
		command -v "${tool%% *}" >/dev/null || continue
		# shellcheck disable=SC2086 # words of a command
		sum=$($tool) || continue
		printf '%s %s\n' "${sum%% *}" "${tool%% *}"
		return
	done
	return 70
}
