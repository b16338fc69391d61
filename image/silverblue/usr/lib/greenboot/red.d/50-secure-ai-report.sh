#!/bin/bash
# Says on the kernel's log, which every console shows, why this boot is not a good one; greenboot then goes back.
set -u

journalctl --boot --quiet --no-pager --output=cat --grep='SECAI-HEALTH-FAILED|SECAI-UPDATE-REFUSED' 2> /dev/null |
	sort -u | while IFS= read -r line; do printf '<2>secure-ai: %s\n' "$line"; done > /dev/kmsg
