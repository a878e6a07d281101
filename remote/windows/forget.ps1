# Removes what has arrived of a file that is put on the host; bundle.py writes $LaPart before it.
try { [IO.File]::Delete($LaPart) } catch { $null = $_ }
Write-LaLine 'part 0'
Send-LaLines
exit 0
