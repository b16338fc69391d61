#!/bin/bash
# Every service of the list answers over HTTP, and no unit has failed.
# bash and not sh: for /dev/tcp, an HTTP client that starts in no time.
set -u
# A service that hangs up is a finding, not the end of this script.
trap '' PIPE

endpoints=/usr/lib/secure-ai/health-endpoints
# A service that has just been started may still be getting ready: so many seconds in all.
read -r patience < /usr/lib/secure-ai/health-patience || exit 1
findings=0

finding() {
	echo "SECAI-HEALTH-FAILED: $1" >&2
	findings=$((findings + 1))
}

# answers PORT PATH: an HTTP status 200 within 5 s.
answers() {
	local status=
	{ exec 3<> "/dev/tcp/127.0.0.1/$1"; } 2> /dev/null || return 1
	printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' "$2" "$1" >&3
	IFS=" " read -r -t 5 _ status _ <&3
	exec 3>&-
	[ "$status" = 200 ]
}

answers_soon() {
	until answers "$1" "$2"; do
		[ "$SECONDS" -lt "$patience" ] || return 1
		sleep 1
	done
}

while read -r name port path; do
	case $name in '' | '#'*) continue ;; esac
	answers_soon "$port" "$path" || finding "$name does not answer on port $port"
done < "$endpoints" || finding "$endpoints cannot be read"

failed=$(systemctl list-units --state=failed --plain --no-legend --no-pager) || finding "systemctl does not answer"
if [ -n "$failed" ]; then
	names=
	while read -r unit _; do names="$names $unit"; done <<< "$failed"
	finding "failed units:$names"
fi

[ "$findings" -eq 0 ]
