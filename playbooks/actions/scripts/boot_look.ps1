# Which boot this is, and whether the host says that it needs another: "boot ID", "needed yes|no".
$ErrorActionPreference = 'Stop'
'boot ' + (Get-CimInstance -ClassName Win32_OperatingSystem).LastBootUpTime.ToUniversalTime().ToString('yyyyMMddHHmmss')
$keys = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending',
    'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired'
$needed = 'no'
foreach ($key in $keys) {
    if (Test-Path -LiteralPath $key) { $needed = 'yes' }
}
'needed ' + $needed
