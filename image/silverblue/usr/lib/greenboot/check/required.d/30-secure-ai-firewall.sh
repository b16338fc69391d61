#!/bin/bash
# The firewall is loaded and drops what it does not name, in every direction.
set -u

if ! rules=$(nft list table inet secure_ai); then
	echo "SECAI-HEALTH-FAILED: the firewall is not loaded" >&2
	exit 1
fi
for hook in input output forward; do
	case $rules in
	*"hook $hook "*"policy drop"*) ;;
	*)
		echo "SECAI-HEALTH-FAILED: the firewall does not drop by default in $hook" >&2
		exit 1
		;;
	esac
done
