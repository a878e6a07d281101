# Exits with 0 where something listens on the TCP port $port.
if (@(Get-NetTCPConnection -State Listen -LocalPort $port -ErrorAction SilentlyContinue).Count -eq 0) { exit 1 }
