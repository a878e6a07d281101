# Starts the host anew, a moment after this script has told its end.
shutdown.exe /r /t 5 /d p:4:1
exit $LASTEXITCODE
