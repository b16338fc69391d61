#!/bin/bash
# The booted deployment is ours: from our repository, by digest, taken under a policy that demands our signature. Where the image has a
# service that attests the machine, that service must have opened its gate.
set -u

attestor=secure-ai-runtime-attestor.service

/usr/bin/node /usr/libexec/secure-ai/secai-update.mjs booted || exit 1

if [ -e "/usr/lib/systemd/system/$attestor" ] && ! systemctl --quiet is-active "$attestor"; then
	echo "SECAI-HEALTH-FAILED: $attestor is not active" >&2
	exit 1
fi
