# Tells how much of a file has arrived that is put on the host; bundle.py writes $LaPart before it.
$LaFile = New-Object IO.FileInfo($LaPart)
if ($LaFile.Exists) { Write-LaLine "part $($LaFile.Length)" } else { Write-LaLine 'stopped part_lost' }
Send-LaLines
exit 0
