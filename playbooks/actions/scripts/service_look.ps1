# How the service $name is: "service windows loaded active enabled".
$ErrorActionPreference = 'Stop'
$found = Get-CimInstance -ClassName Win32_Service | Where-Object { $_.Name -eq $name }
if ($null -eq $found) {
    'service windows no no no'
} else {
    $active = if ($found.State -eq 'Running') { 'yes' } else { 'no' }
    $enabled = if ($found.StartMode -eq 'Auto') { 'yes' } else { 'no' }
    'service windows yes ' + $active + ' ' + $enabled
}
