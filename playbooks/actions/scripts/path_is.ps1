# Exits with 0 where there is something at $path.
if (-not (Test-Path -LiteralPath $path)) { exit 1 }
