#!/bin/sh
# Prints what concerns your enterprise, as it happens: subscribe.sh SETTINGS ENTERPRISE_ID [kcat options]
set -eu
settings=$1 enterprise_id=$2
shift 2
exec kcat -q -u -F "$settings" \
  -X isolation.level=read_committed -X auto.offset.reset=earliest "$@" \
  -f '%h\n%s\n\n' \
  -G "$enterprise_id.kcat" "realname.compliance.$enterprise_id"
